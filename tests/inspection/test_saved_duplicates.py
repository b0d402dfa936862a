"""Duplicates that a run keeps come back as they were, and not for other weights or data."""

import shutil
from pathlib import Path

import pytest

from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inspection import Duplicates, inspect_dataset, load_duplicates
from visionlib.inspection.duplicates import make_pair
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.runs import Run, read_json, write_json


@pytest.fixture
def run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def found(data: Dataset, *, has_run: bool) -> Duplicates:
    images = JoinedSplits(data.splits)
    pair = make_pair("near", images, (3, images.row("test", 5)), 0.91, 0.75, 0.5 if has_run else None)
    exact = make_pair("exact", images, (images.row("test", 1), images.row("test", 2)), 1.0, 1.0)
    return Duplicates((exact, pair), True, {"train": 200, "test": 70}, (pair,) if has_run else None)


@pytest.mark.parametrize("has_run", [False, True])
def test_they_come_back(run: Run, small_shapes: Dataset, has_run: bool) -> None:
    given = found(small_shapes, has_run=has_run)
    given.save(run)
    assert load_duplicates(run) == given


def test_an_inspection_with_a_run_keeps_them_there(run: Run, small_shapes: Dataset) -> None:
    inspection = inspect_dataset(small_shapes, duplicates="near", run=run)
    assert inspection.duplicates is not None
    assert inspection.duplicates.by_embeddings is not None
    assert load_duplicates(run) == inspection.duplicates


def test_absent_damaged_and_foreign_ones_are_refused(run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(RunError, match=r"duplicates.json: the run lacks it; make it anew with `visionlib data"):
        load_duplicates(run)
    found(small_shapes, has_run=False).save(run)
    place = run.inspection / "duplicates.json"
    record = read_json(place)
    write_json(place, {**record, "dataset_hash": "another"})
    with pytest.raises(RunError, match="was made with other data"):
        load_duplicates(run)
    write_json(place, {**record, "pairs": [{"kind": "near"}]})
    with pytest.raises(RunError, match="is damaged"):
        load_duplicates(run)
