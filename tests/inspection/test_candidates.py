"""Label candidates are confident learning's, of probabilities that are out of sample, and harmless in a spreadsheet."""

import csv
import dataclasses
import importlib.util
import io
from pathlib import Path

import pytest
import torch

from tests.inspection.conftest import EASY
from tests.inspection.planted import plant_wrong_labels
from visionlib.data import Dataset
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.inspection import (
    OutOfSample,
    find_candidates,
    load_candidates,
    score_test,
    tabulate_candidates,
)
from visionlib.runs import Run, read_json, write_json
from visionlib.training import train

pytest.importorskip("cleanlab")


def scored_of(
    probabilities: list[list[float]], labels: list[int], classes: tuple[str, ...] | None = None
) -> OutOfSample:
    rows = torch.tensor(probabilities, dtype=torch.float64)
    names = classes or tuple("abcdefgh"[: rows.shape[1]])
    index = torch.arange(len(labels)) * 2 + 11
    return OutOfSample("test", "by hand", index, torch.tensor(labels, dtype=torch.int64), rows, names, "hash")


def noisy(n: int, k: int, labels: list[int] | None = None) -> OutOfSample:
    """Probabilities that are often right, and often enough not."""
    given = labels or torch.randint(0, k, (n,)).tolist()
    logits = torch.randn(n, k, dtype=torch.float64) * 1.5
    logits[torch.arange(n), torch.tensor(given)] += 1.5
    return scored_of(logits.softmax(1).tolist(), given, tuple(f"class {number}" for number in range(k)))


def candidates_by_loops(scored: OutOfSample) -> list[int]:
    """Confident learning by its definition, image by image: positions, the least probable label first."""
    rows, labels = scored.probabilities.tolist(), scored.labels.tolist()
    thresholds = {}
    for label in set(labels):
        own = [row[label] for row, given in zip(rows, labels, strict=True) if given == label]
        thresholds[label] = sum(own) / len(own)
    found = []
    for place, (row, given) in enumerate(zip(rows, labels, strict=True)):
        confident = [label for label, least in thresholds.items() if row[label] >= least]
        if not confident:
            continue
        probable = max(range(len(row)), key=row.__getitem__)
        likely = confident[0] if len(confident) == 1 else probable
        if likely != given != probable:
            found.append(place)
    return sorted(found, key=lambda place: rows[place][labels[place]])


@pytest.mark.parametrize(("n", "k"), [(60, 2), (300, 3), (400, 10), (150, 30)])
def test_candidates_are_those_of_the_definition(n: int, k: int) -> None:
    scored = noisy(n, k)
    found = find_candidates(scored)
    expected = candidates_by_loops(scored)
    assert len(expected) > 3
    assert found.index.tolist() == [place * 2 + 11 for place in expected]
    for row, place in zip(found.to_rows(), expected, strict=True):
        probabilities = scored.probabilities[place].tolist()
        assert row["given"] == scored.classes[scored.labels[place]]
        assert row["score"] == probabilities[scored.labels[place]]
        assert row["suggested"] == scored.classes[probabilities.index(max(probabilities))]
        assert row["probabilities"] == probabilities
    assert found.fraction == len(expected) / n


def test_a_case_solved_by_hand() -> None:
    # Thresholds: a (0.9 + 0.8 + 0.1) / 3 = 0.6, b (0.7 + 0.9) / 2 = 0.8. The third image is b with 0.9.
    scored = scored_of([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9]], [0, 0, 0, 1, 1])
    (row,) = find_candidates(scored).to_rows()
    assert row == {
        "index": 15,
        "source": None,
        "given": "a",
        "suggested": "b",
        "score": 0.1,
        "probabilities": [0.1, 0.9],
    }


def test_a_class_without_images_changes_nothing_for_the_others() -> None:
    labels = [0, 1, 3] * 60
    scored = noisy(180, 5, labels)
    found = find_candidates(scored)
    assert found.index.tolist() == [place * 2 + 11 for place in candidates_by_loops(scored)]
    assert len(found) > 0
    assert set(found.given.tolist()) <= {0, 1, 3}


def test_right_labels_give_no_candidate() -> None:
    found = find_candidates(scored_of([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.3, 0.7]], [0, 0, 1, 1]))
    assert len(found) == 0
    assert found.to_dict()["candidates"] == 0
    assert tabulate_candidates(found).count("\n") == 1


def test_a_single_class_and_no_image_are_told() -> None:
    with pytest.raises(DataError, match="test split: all labels are 'b'; label candidates need images of two classes"):
        find_candidates(scored_of([[0.4, 0.6]] * 3, [1, 1, 1]))
    nothing = OutOfSample(
        "test",
        "",
        *(torch.zeros(0, dtype=torch.int64),) * 2,
        torch.zeros(0, 2, dtype=torch.float64),
        ("a", "b"),
        "hash",
    )
    with pytest.raises(DataError, match="test split: there are no images"):
        find_candidates(nothing)


def test_probabilities_that_do_not_fit_are_told() -> None:
    with pytest.raises(
        DataError, match=r"labels: are 0\.\.2 for 2 classes; make them with score_test or cross_validate"
    ):
        scored_of([[0.4, 0.6]] * 3, [0, 1, 2])
    with pytest.raises(DataError, match="probabilities: have 2 columns for 3 classes"):
        scored_of([[0.4, 0.6]] * 3, [0, 1, 1], ("a", "b", "c"))
    with pytest.raises((DataError, TypeError)):  # the checked annotation comes first while the tests run
        OutOfSample("test", "", torch.arange(3), torch.arange(2), torch.full((3, 2), 0.5).double(), ("a", "b"), "hash")
    for row in ([0.4, 0.4], [1.5, -0.5], [float("nan"), 1.0]):
        with pytest.raises(DataError, match="probabilities: hold a row that does not sum to 1"):
            scored_of([row, [0.5, 0.5]], [0, 1])


def test_a_bare_array_is_refused() -> None:
    with pytest.raises((DataError, TypeError), match=r"OutOfSample|has no record of whether the network was trained"):
        find_candidates(torch.full((3, 2), 0.5))  # type: ignore[arg-type]


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cleanlab is not installed; pip install 'visionlib-torch\[labels\]'"):
        find_candidates(noisy(20, 2))


def test_the_test_splits_probabilities_are_the_kept_ones(learned_run: Run, stripes: Dataset) -> None:
    scored = score_test(learned_run)
    assert scored.index.equal(stripes.test.index)
    assert scored.labels.equal(stripes.test.labels)
    assert scored.content_hash == stripes.test.content_hash
    assert (scored.probabilities.argmax(1) == scored.labels).double().mean() > 0.8


def test_wrong_labels_among_the_test_images_are_found(stripes: Dataset, tmp_path: Path) -> None:
    wrong, planted = plant_wrong_labels(stripes.test, 0.05)
    source = dataclasses.replace(stripes, splits={"train": stripes.train, "test": wrong})
    found = find_candidates(score_test(train(source, EASY, out=tmp_path / "run")))
    hits = set(found.index.tolist()) & planted
    assert len(planted) == 6
    assert len(hits) >= 5
    assert len(hits) / len(found) >= 0.5  # by chance it would be 0.05


@pytest.mark.slow
def test_wrong_labels_among_shapes_are_found(tmp_path: Path) -> None:
    from visionlib.data.shapes import load_shapes
    from visionlib.training import recipe_config

    clean = load_shapes()
    wrong, planted = plant_wrong_labels(clean.test, 0.05)
    source = dataclasses.replace(clean, splits={"train": clean.train, "test": wrong})
    config = recipe_config("quick", model="resnet20", resolutions=(1.0,), epochs=8)
    found = find_candidates(score_test(train(source, config, out=tmp_path / "run")))
    hits = set(found.index.tolist()) & planted
    assert len(hits) / len(planted) >= 0.6
    assert len(hits) / len(found) >= 0.8  # by chance it would be 0.05


def test_candidates_are_kept_and_read_back(copied_run: Run) -> None:
    scored = score_test(copied_run)
    confused = dataclasses.replace(scored, labels=scored.labels.roll(7))
    found = find_candidates(confused)
    assert len(found) > 0
    found.save(copied_run)
    kept = load_candidates(copied_run)
    assert kept.to_dict() == found.to_dict()
    assert kept.to_rows() == found.to_rows()
    record = read_json(copied_run.inspection / "candidates-test.json")
    write_json(copied_run.inspection / "candidates-test.json", {**record, "weights_sha256": "other"})
    with pytest.raises(RunError, match="was made with other weights"):
        load_candidates(copied_run)


HOSTILE = ("=HYPERLINK(1)", '+1"2', "-a,b", "@c\nd", " =e", "f'", "\tg", "plain")


def test_the_table_is_safe_in_a_spreadsheet_and_says_what_was_found() -> None:
    scored = noisy(400, len(HOSTILE))
    scored = dataclasses.replace(scored, classes=HOSTILE)
    found = find_candidates(scored)
    header, *rows = csv.reader(io.StringIO(tabulate_candidates(found)))
    assert header == [
        "rank",
        "index",
        "source",
        "split",
        "given",
        "suggested",
        "score",
        *(f"probability of {n}" for n in HOSTILE),
    ]
    assert len(rows) == len(found) > 20
    for rank, (row, told) in enumerate(zip(rows, found.to_rows(), strict=True), 1):
        assert row[:4] == [str(rank), str(told["index"]), "", "test"]
        for cell, name in ((row[4], told["given"]), (row[5], told["suggested"])):
            assert cell.removeprefix("'") == name.removeprefix("'")
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t"))
        assert [float(cell) for cell in row[6:]] == pytest.approx([told["score"], *told["probabilities"]], abs=1e-6)
    assert {row[4] for row in rows} >= {"'=HYPERLINK(1)", "plain", "f'"}
