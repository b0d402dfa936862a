"""Whose mistake it is, by hand."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from visionlib.errors import ConfigError, DataError
from visionlib.evaluation import Mistakes, Votes, find_mistakes, judge_mistakes
from visionlib.evaluation.mistakes import write_mistakes
from visionlib.inference.predictions import SplitPredictions

CLASSES = ("cat", "dog", "ship")
SHARES = torch.tensor(
    [
        [0.9, 0.1, 0.0],  # people agree with the label, cat
        [0.0, 0.8, 0.2],  # people agree on dog, which is predicted, against the label
        [0.0, 0.0, 1.0],  # people agree on ship, which is neither
        [0.6, 0.4, 0.0],  # people do not agree
        [0.0, 0.0, 0.0],  # no votes
        [1.0, 0.0, 0.0],  # no mistake
    ],
    dtype=torch.float64,
)


def mistakes() -> Mistakes:
    """Five mistakes of six images: cats that are called dogs, ever more surely."""
    logits = torch.tensor([[0.0, 1 + position, 0] for position in range(5)] + [[1.0, 0, 0]])
    outputs = SplitPredictions(logits, logits, None)
    return find_mistakes(outputs, torch.zeros(6, dtype=torch.int64), CLASSES)


def votes() -> Votes:
    return Votes("votes.csv", SHARES, SHARES.sum(1) > 0)


def test_each_kind_is_told() -> None:
    opinions = judge_mistakes(mistakes(), votes())
    assert opinions.mistakes.positions.tolist() == [4, 3, 2, 1, 0]
    assert opinions.kinds == ("no votes", "ambiguous", "label", "label", "model")
    assert opinions.counts == {"model": 1, "label": 2, "ambiguous": 1, "no votes": 1}
    assert opinions.label_as_predicted == 1
    assert opinions.top_class.tolist() == [-1, 0, 2, 1, 0]
    assert opinions.top_fraction.tolist() == pytest.approx([math.nan, 0.6, 1, 0.8, 0.9], nan_ok=True)
    assert opinions.label_fraction.tolist() == pytest.approx([math.nan, 0.6, 0, 0, 0.9], nan_ok=True)
    by_hand = [-sum(share * math.log2(share) for share in row if share) for row in SHARES.tolist()]
    assert opinions.entropy_bits.tolist() == pytest.approx([math.nan, *by_hand[3::-1]], nan_ok=True)


def test_the_threshold_moves_what_is_ambiguous() -> None:
    assert judge_mistakes(mistakes(), votes(), agreement=0.6).kinds[1] == "model"
    assert judge_mistakes(mistakes(), votes(), agreement=0.95).counts == {
        "model": 0,
        "label": 1,
        "ambiguous": 3,
        "no votes": 1,
    }


def test_two_favourites_are_ambiguous_whatever_the_threshold() -> None:
    shares = torch.tensor([[0.4, 0.4, 0.2]] * 6, dtype=torch.float64)
    split = judge_mistakes(mistakes(), Votes("v", shares, shares.sum(1) > 0), agreement=0.1)
    assert split.counts["ambiguous"] == 5


def test_some_of_them_keep_what_is_said_of_them() -> None:
    opinions = judge_mistakes(mistakes(), votes()).take(torch.tensor([3, 0]))
    assert opinions.kinds == ("label", "no votes")
    assert opinions.mistakes.positions.tolist() == [1, 4]
    assert [opinions.describe(position) for position in (0, 1)] == ["people dog 80 %", "no votes"]


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    opinions = judge_mistakes(mistakes(), votes())
    record = json.loads(json.dumps(opinions.to_dict(), allow_nan=False))
    assert record["kinds"] == {"model": 1, "label": 2, "ambiguous": 1, "no votes": 1, "label_as_predicted": 1}
    assert (record["votes"], record["agreement"], record["wrong"]) == ("votes.csv", 0.7, 5)
    first = record["mistakes"][0]
    assert first["kind"] == "no votes"
    assert first["people"] is first["people_share"] is first["entropy_bits"] is first["is_as_predicted"] is None
    write_mistakes(opinions.mistakes, tmp_path / "mistakes.csv", columns=opinions.records())
    with (tmp_path / "mistakes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, record["mistakes"], strict=True):
        assert {name: row[name] for name in entry} == {
            name: "" if value is None else str(value) for name, value in entry.items()
        }


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agreement: 1\.5 is out of range"):
        judge_mistakes(mistakes(), votes(), agreement=1.5)
    few = Votes("v", SHARES[:5], torch.ones(5, dtype=torch.bool))
    with pytest.raises(DataError, match=r"votes: have shape \(5, 3\) for 6 images of 3 classes"):
        judge_mistakes(mistakes(), few)
