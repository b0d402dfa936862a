"""Comparison of run folders: numbers by hand, refusals in one line."""

import csv
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from visionlib import compare_runs
from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import Comparison, evaluate, load_predictions
from visionlib.evaluation.comparison.comparison import write_differing
from visionlib.evaluation.comparison.paired import score_interval
from visionlib.inference.predictions import SplitPredictions, save_predictions
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_json, write_json

Copy = Callable[..., Run]


@pytest.fixture
def copy(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> Copy:
    """Make runs on the small dataset that are wrong on given images."""

    def make(name: str, wrong: tuple[int, ...] = (), mirror_wrong: tuple[int, ...] = ()) -> Run:
        folder = tmp_path / name
        shutil.copytree(finished_run.path, folder)
        run = Run(folder)
        labels = small_shapes.test.labels

        def make_logits(positions: tuple[int, ...]) -> torch.Tensor:
            predicted = labels.clone()
            predicted[list(positions)] = (predicted[list(positions)] + 1) % len(small_shapes.classes)
            return 3 * torch.nn.functional.one_hot(predicted, len(small_shapes.classes)).float()

        predictions = SplitPredictions(make_logits(wrong), make_logits(mirror_wrong), None)
        save_predictions(run, predictions, small_shapes.test, load_record(run).weights_sha256)
        return run

    return make


@pytest.fixture
def pair(copy: Copy) -> Comparison:
    """The first is wrong on images 0 to 9, the second on 8 to 10: eight against one, two wrong by both."""
    return compare_runs([copy("first", tuple(range(10))), copy("second", (8, 9, 10))])


def test_two_runs_by_hand(pair: Comparison, small_shapes: Dataset) -> None:
    (tested,) = pair.pairs
    counts = tested.counts
    assert (counts.both, counts.only_first, counts.only_second, counts.neither) == (59, 1, 8, 2)
    assert tested.difference == pytest.approx(7 / 70)
    assert tested.only_first.tolist() == [10]
    assert tested.only_second.tolist() == list(range(8))
    # Of nine images eight fall to one side: 2 x (1 + 9) of 2^9 ways.
    assert tested.p == tested.adjusted_p == pytest.approx(20 / 512)
    assert tested.is_significant
    assert tested.interval is not None
    assert 0 < tested.interval[0] < 0.1 < tested.interval[1] < 0.25
    assert [(run.correct, run.n) for run in pair.runs] == [(60, 70), (67, 70)]
    for position, entry in enumerate(tested.per_class):
        images = [n for n, label in enumerate(small_shapes.test.labels.tolist()) if label == position]
        assert entry.name == small_shapes.classes[position]
        assert entry.counts.n == len(images)
        assert entry.counts.only_second == sum(n < 8 for n in images)
        assert entry.counts.only_first == (10 in images)
        assert entry.interval == score_interval(entry.counts)


def test_loss_and_its_interval_by_hand(pair: Comparison) -> None:
    right, wrong = -math.log(math.e**3 / (math.e**3 + 9)), -math.log(1 / (math.e**3 + 9))
    losses = np.array([wrong] * 10 + [right] * 60)
    first = pair.runs[0]
    assert first.loss == pytest.approx(losses.mean())
    reach = 1.959964 * losses.std(ddof=1) / math.sqrt(70)
    assert first.loss_interval == pytest.approx((losses.mean() - reach, losses.mean() + reach))


def test_figures_of_a_run_are_those_of_its_records(finished_run: Run, copy: Copy, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "same")
    run = Run(tmp_path / "same")
    metrics = compare_runs([run.path, copy("other")]).runs[0]
    evaluation = evaluate(run)
    assert (metrics.correct, metrics.mirror_correct) == (evaluation.correct, evaluation.mirror_correct)
    assert metrics.loss == pytest.approx(evaluation.loss)
    assert metrics.training_seconds == read_json(run.training)["seconds_training"]
    assert (metrics.parameters, metrics.model, metrics.epochs, metrics.seed) == (269_722, "resnet20", 2, 0)


def test_a_run_against_itself_differs_in_nothing(finished_run: Run) -> None:
    comparison = compare_runs([finished_run, finished_run])
    (tested,) = comparison.pairs
    assert (tested.difference, tested.p, tested.interval) == (0, 1, (0, 0))
    assert len(tested.only_first) == len(tested.only_second) == 0
    assert not tested.is_significant
    assert [run.name for run in comparison.runs] == ["finished (1)", "finished (2)"]
    assert "are right and wrong on the same ones of 70 images" in comparison.describe(tested)


def test_pairs_and_holm(copy: Copy) -> None:
    runs = [copy("a", tuple(range(10))), copy("b", (8, 9, 10)), copy("c", (8, 9, 10, 11, 12))]
    comparison = compare_runs(runs)
    assert [(tested.first, tested.second) for tested in comparison.pairs] == [(0, 1), (0, 2), (1, 2)]
    p = [tested.p for tested in comparison.pairs]
    # 8 to 1, 8 to 3 and 2 to 0 images.
    assert p == pytest.approx([20 / 512, 2 * (1 + 11 + 55 + 165) / 2**11, 0.5])
    assert [tested.adjusted_p for tested in comparison.pairs] == pytest.approx([3 * p[0], 2 * p[1], p[2]])
    assert any("3 pairs were tested" in note for note in comparison.notes)
    against = compare_runs(runs, against_first=True)
    assert [(tested.first, tested.second) for tested in against.pairs] == [(0, 1), (0, 2)]
    assert [tested.adjusted_p for tested in against.pairs] == pytest.approx([2 * p[0], p[1]])
    assert not against.pairs[0].is_significant
    assert "by Holm for 2 pairs" in against.describe(against.pairs[0])


def test_the_other_logits_are_used_and_said(copy: Copy) -> None:
    runs = [copy("a", mirror_wrong=(0, 1)), copy("b", wrong=(5,))]
    plain, mirrored = compare_runs(runs), compare_runs(runs, mirror=True)
    assert (plain.logits, mirrored.logits) == ("plain", "mirror-averaged")
    assert plain.pairs[0].only_first.tolist() == [5]
    # Halves of two answers: the first of two equal classes wins, which is right where the label comes first.
    sums = [load_predictions(run).predictions for run in runs]
    right = [(s.logits + s.mirror_logits).argmax(1) == mirrored.labels for s in sums]
    assert mirrored.pairs[0].only_first.tolist() == (right[0] & ~right[1]).nonzero().flatten().tolist()
    assert mirrored.pairs[0].only_second.tolist() == (right[1] & ~right[0]).nonzero().flatten().tolist()


def test_words_claim_no_more_than_the_figures(pair: Comparison, copy: Copy) -> None:
    text = pair.describe(pair.pairs[0])
    assert text.startswith("second is right on 7 more of 70 images than first: 10.00 points, 95 % interval ")
    assert text.endswith(
        "McNemar's exact p = 0.039. The choice of test images hardly explains that: second does better on images like "
        "these."
    )
    runs = [copy("c", (1, 2)), copy("d", (3,))]
    small = compare_runs(runs)
    text = small.describe(small.pairs[0])
    assert text.startswith("d is right on 1 more of 70 images than c: 1.43 points, 95 % interval -")
    assert text.endswith("That may well be chance, and does not show that they are equally good either.")
    turned = compare_runs(runs[::-1])
    assert turned.describe(turned.pairs[0]) == text
    even = compare_runs([runs[1], copy("e", (4,))])
    assert even.describe(even.pairs[0]).startswith(
        "d and e are right equally often, on different ones of 70 images: 0.00"
    )
    assert any("another seed gives others" in note for note in pair.notes)


def test_json_is_whole_and_names_images_for_good(pair: Comparison, small_shapes: Dataset) -> None:
    record = json.loads(json.dumps(pair.to_dict(), allow_nan=False))
    (tested,) = record["pairs"]
    assert tested["only_second_index"] == small_shapes.test.index[:8].tolist()
    assert (tested["mcnemar_p"], tested["difference"]) == (pair.pairs[0].p, pytest.approx(0.1))
    assert sum(entry["only_second"] for entry in tested["per_class"]) == tested["only_second"] == 8
    low, high = record["runs"][0]["confidence_interval"]
    assert low < record["runs"][0]["accuracy"] == 60 / 70 < high
    assert (record["logits"], record["n"], record["bootstrap"]) == ("plain", 70, {"resamples": 10_000, "seed": 0})


def test_csv_lists_the_images_that_one_gets_right(pair: Comparison, small_shapes: Dataset, tmp_path: Path) -> None:
    write_differing(pair, tmp_path / "differing.csv")
    with (tmp_path / "differing.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["position"]), row["right"]) for row in rows] == [(n, "second") for n in range(8)] + [(10, "first")]
    for row in rows:
        label = small_shapes.classes[int(small_shapes.test.labels[int(row["position"])])]
        assert row["true"] == label
        assert row[f"{row['right']}_predicted"] == label
        assert {row["first_predicted"], row["second_predicted"]} > {label}
        assert float(row["first_confidence"]) == pytest.approx(math.e**3 / (math.e**3 + 9))


def test_folders_of_the_same_name_are_told_by_their_paths(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    runs = [copy("run"), copy("x/run"), copy("other")]
    names = [metrics.name for metrics in compare_runs(runs).runs]
    assert names == [str(runs[0].path), str(runs[1].path), "other"]


def rewrite(run: Run, **fields: np.ndarray) -> None:
    with np.load(run.predictions) as arrays:
        stored = dict(arrays)
    np.savez(run.predictions, **{name: value for name, value in {**stored, **fields}.items() if value is not None})


def test_other_images_are_refused(copy: Copy) -> None:
    first, second = copy("first"), copy("second")
    rewrite(second, content_hash=np.array("0123456789abcdef"))
    with pytest.raises(
        RunError, match=r"second: was tested on other images than .*first \(content hash 0123456789ab, "
    ):
        compare_runs([first, second])


def test_other_classes_are_refused(copy: Copy) -> None:
    first, second = copy("first"), copy("second")
    record = read_json(second.model)
    write_json(second.model, {**record, "classes": [*record["classes"][:-1], "duck"]})
    with pytest.raises(RunError, match=r"second: has other classes than .*first \(class 9 is 'duck', there "):
        compare_runs([first, second])
    write_json(second.model, {**record, "classes": record["classes"][:-1]})
    with pytest.raises(RunError, match="logits: have 10 columns for 9 classes"):
        compare_runs([first, second])


def test_a_run_without_predictions_is_refused(copy: Copy) -> None:
    first, second = copy("first"), copy("second")
    second.predictions.unlink()
    with pytest.raises(RunError, match=r"predictions\.npz: the run lacks its predictions; make it again with"):
        compare_runs([first, second])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"index": None}, "is damaged"),
        ({"index": np.arange(3)}, r"is damaged \(labels is int64\[70\], and must be int64\[n\], as those before it\)"),
        ({"labels": np.zeros(70, dtype=np.int64)}, "has other labels for the same images"),
        ({"labels": np.full(70, 10)}, r"labels: are 10\.\.10 for 10 classes"),
        ({"mirror_logits": np.full((70, 10), np.nan, dtype=np.float32)}, "logits: hold values that are not numbers"),
    ],
)
def test_damaged_predictions_are_refused(fields: dict[str, np.ndarray], message: str, copy: Copy) -> None:
    first, second = copy("first"), copy("second")
    rewrite(second, **fields)
    with pytest.raises(RunError, match=message):
        compare_runs([first, second])


def test_too_few_runs_and_draws_are_refused(finished_run: Run) -> None:
    with pytest.raises(ConfigError, match="runs: 1 cannot be compared; name two or more"):
        compare_runs([finished_run])
    with pytest.raises(ConfigError, match="resamples: 0 is out of range"):
        compare_runs([finished_run, finished_run], resamples=0)


def test_parameters_are_those_of_the_layer_table_and_no_user_code_is_imported(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy("first")
    (tmp_path / "stranger.py").write_text("raise AssertionError('user code was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    write_json(run.model, {**read_json(run.model), "model": "stranger:network"})
    metrics = compare_runs([run, run]).runs[0]
    assert (metrics.model, metrics.parameters) == ("stranger:network", 269_722)
    assert "stranger" not in sys.modules
    run.summary.unlink()
    assert compare_runs([run, run]).runs[0].parameters is None


def test_other_training_images_are_noted(copy: Copy) -> None:
    first, second = copy("first"), copy("second")
    assert not any("different images" in note for note in compare_runs([first, second]).notes)
    record = read_json(second.config)
    record["dataset"]["splits"]["train"]["content_hash"] = "other"
    write_json(second.config, record)
    assert any("They were trained on different images" in note for note in compare_runs([first, second]).notes)


def test_no_image_is_needed_and_those_that_are_shown_are_the_predicted_ones(
    copy: Copy, small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> Dataset:
        raise AssertionError("the dataset was read")

    run = copy("first")
    monkeypatch.setattr("visionlib.inference.run_data.load_dataset", refuse)
    compare_runs([run, run])
    stored = load_predictions(run)
    assert torch.equal(stored.load_images(small_shapes).images, small_shapes.test.images)
    rewrite(run, content_hash=np.array("other"))
    with pytest.raises(RunError, match=r"predictions\.npz: is of other images than the run's data holds"):
        load_predictions(run).load_images(small_shapes)
