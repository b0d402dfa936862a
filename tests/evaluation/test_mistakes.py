"""Mistakes against a slow loop and against numbers by hand."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import find_mistakes, score_logits
from visionlib.evaluation.mistakes import Ranking, write_mistakes
from visionlib.inference.predictions import SplitPredictions

CLASSES = ("cat", "dog", '=ship, "the\nold"')


def predictions(logits: Tensor, mirrored: Tensor | None = None) -> SplitPredictions:
    return SplitPredictions(logits, logits if mirrored is None else mirrored, None)


def random_case(n: int = 300, k: int = 3) -> tuple[SplitPredictions, Tensor]:
    return predictions(2 * torch.randn(n, k), torch.randn(n, k)), torch.randint(0, k, (n,))


def test_four_images_by_hand() -> None:
    logits = torch.tensor([[0.0, 0, math.log(2)], [9, 0, 0], [math.log(98), 0, 0], [0, 0, 0]])
    mistakes = find_mistakes(predictions(logits), torch.tensor([0, 0, 1, 1]), CLASSES, index=torch.tensor([7, 8, 9, 5]))
    # Probabilities 1/4 1/4 2/4; right; 98/100 1/100 1/100; thirds, where the first class wins.
    assert mistakes.positions.tolist() == [2, 0, 3]
    assert mistakes.index.tolist() == [9, 7, 5]
    assert mistakes.labels.tolist() == [1, 0, 1]
    assert mistakes.predicted.tolist() == [0, 2, 0]
    assert mistakes.true_probability.tolist() == pytest.approx([0.01, 0.25, 1 / 3])
    assert mistakes.confidence.tolist() == pytest.approx([0.98, 0.5, 1 / 3])
    assert mistakes.loss.tolist() == pytest.approx([math.log(100), math.log(4), math.log(3)])
    assert mistakes.margin.tolist() == pytest.approx([0.97, 0.25, 0])
    assert mistakes.is_confident.tolist() == [True, False, False]
    assert (mistakes.n, mistakes.logits, mistakes.ranked_by) == (4, "plain", "loss")


@pytest.mark.parametrize("by", ["loss", "margin", "confidence"])
@pytest.mark.parametrize("mirror", [False, True])
def test_figures_are_those_of_a_slow_loop(by: Ranking, mirror: bool) -> None:
    outputs, labels = random_case()
    rows = []
    for position, label in enumerate(labels.tolist()):
        logits = outputs.logits[position].double()
        if mirror:
            logits = (logits + outputs.mirror_logits[position].double()) / 2
        shares = [math.exp(value) / sum(math.exp(v) for v in logits.tolist()) for value in logits.tolist()]
        predicted = shares.index(max(shares))
        if predicted != label:
            measures = {
                "loss": -math.log(shares[label]),
                "margin": max(shares) - shares[label],
                "confidence": max(shares),
            }
            rows.append((-measures[by], position, measures))
    mistakes = find_mistakes(outputs, labels, CLASSES, by=by, mirror=mirror)
    assert mistakes.positions.tolist() == [position for _, position, _ in sorted(rows, key=lambda row: row[:2])]
    by_position = {position: measures for _, position, measures in rows}
    for record in mistakes.records():
        measures = {name: record[name] for name in ("loss", "margin", "confidence")}
        assert measures == pytest.approx(by_position[record["position"]], abs=1e-6)
    assert mistakes.logits == ("mirror-averaged" if mirror else "plain")


@pytest.mark.parametrize("mirror", [False, True])
def test_there_are_as_many_as_the_evaluation_says(mirror: bool) -> None:
    outputs, labels = random_case()
    evaluation = score_logits(outputs.logits, labels, CLASSES, mirror_logits=outputs.mirror_logits)
    right = evaluation.mirror_correct if mirror else evaluation.correct
    assert len(find_mistakes(outputs, labels, CLASSES, mirror=mirror)) == evaluation.n - (right or 0)


def test_equal_ones_stay_in_the_order_of_the_split() -> None:
    logits = torch.tensor([[1.0, 0, 0], [3.0, 0, 0]]).repeat(50, 1)
    mistakes = find_mistakes(predictions(logits), torch.ones(100, dtype=torch.int64), CLASSES)
    in_order = [*range(1, 100, 2), *range(0, 100, 2)]
    assert mistakes.positions.tolist() == in_order
    for by in ("confidence", "margin", "loss"):
        mistakes = mistakes.rank(by)
        assert mistakes.positions.tolist() == in_order
        assert mistakes.ranked_by == by


def test_confident_ones_and_the_others_are_all_of_them() -> None:
    outputs, labels = random_case()
    mistakes = find_mistakes(outputs, labels, CLASSES, confident_from=0.7)
    confident, unsure = mistakes.confident, mistakes.unsure
    assert len(confident) > 5
    assert len(unsure) > 5
    assert bool((confident.confidence >= 0.7).all())
    assert bool((unsure.confidence < 0.7).all())
    assert sorted([*confident.positions.tolist(), *unsure.positions.tolist()]) == sorted(mistakes.positions.tolist())
    assert confident.positions.tolist() == [
        p for p in mistakes.positions.tolist() if p in set(confident.positions.tolist())
    ]
    assert len(mistakes.first(3)) == 3
    assert len(mistakes.first(10_000)) == len(mistakes)


def test_json_holds_every_figure() -> None:
    outputs, labels = random_case(40)
    mistakes = find_mistakes(outputs, labels, CLASSES)
    record = json.loads(json.dumps(mistakes.to_dict(), allow_nan=False))
    assert (record["n"], record["wrong"], record["logits"], record["confident_from"]) == (
        40,
        len(mistakes),
        "plain",
        0.9,
    )
    assert record["confident_and_wrong"] == sum(entry["is_confident"] for entry in record["mistakes"])
    assert [entry["true"] for entry in record["mistakes"]] == [CLASSES[label] for label in mistakes.labels.tolist()]


def test_huge_logits_stay_numbers() -> None:
    mistakes = find_mistakes(predictions(torch.tensor([[1e30, -1e30, 0.0]])), torch.tensor([1]), CLASSES)
    assert mistakes.true_probability.tolist() == [0.0]
    assert mistakes.loss.tolist() == pytest.approx([2e30])
    json.dumps(mistakes.to_dict(), allow_nan=False)


def test_csv_holds_every_mistake_in_order(tmp_path: Path) -> None:
    outputs, labels = random_case(40)
    mistakes = find_mistakes(outputs, labels, CLASSES)
    write_mistakes(mistakes, tmp_path / "mistakes.csv")
    with (tmp_path / "mistakes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == list(range(1, len(mistakes) + 1))
    for row, record in zip(rows, mistakes.records(), strict=True):
        assert row["true"].removeprefix("'") == record["true"]
        assert float(row["loss"]) == record["loss"]
        assert int(row["position"]) == record["position"]


def test_no_mistake_is_an_empty_table_with_its_header(tmp_path: Path) -> None:
    outputs = predictions(torch.eye(3))
    mistakes = find_mistakes(outputs, torch.arange(3), CLASSES)
    assert len(mistakes) == len(mistakes.confident) == len(mistakes.unsure) == 0
    assert mistakes.to_dict()["mistakes"] == []
    write_mistakes(mistakes, tmp_path / "none.csv")
    header = (tmp_path / "none.csv").read_text().splitlines()
    one = find_mistakes(outputs, torch.tensor([0, 1, 0]), CLASSES)
    write_mistakes(one, tmp_path / "one.csv")
    assert header == (tmp_path / "one.csv").read_text().splitlines()[:1]


def test_a_split_without_images_has_no_mistakes() -> None:
    mistakes = find_mistakes(predictions(torch.zeros(0, 3)), torch.zeros(0, dtype=torch.int64), CLASSES)
    assert (mistakes.n, len(mistakes)) == (0, 0)


@pytest.mark.parametrize(
    ("logits", "label", "message"),
    [
        (torch.zeros(1, 4), 0, "logits: have 4 columns for 3 classes"),
        (torch.zeros(2, 3), 0, "logits: are of 2 images for 1 labels"),
        (torch.zeros(1, 3), 3, r"labels: are 3\.\.3 for 3 classes"),
        (torch.full((1, 3), math.inf), 0, "logits: hold values that are not numbers"),
    ],
)
def test_what_does_not_fit_is_refused(logits: Tensor, label: int, message: str) -> None:
    with pytest.raises(RunError, match=message):
        find_mistakes(predictions(logits), torch.tensor([label]), CLASSES)


@pytest.mark.parametrize("threshold", [0, -1, 1.01, math.nan])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"confident: .* is out of range; it must be above 0 and at most 1"):
        find_mistakes(predictions(torch.zeros(1, 3)), torch.tensor([0]), CLASSES, confident_from=threshold)
