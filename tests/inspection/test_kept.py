"""What a run keeps is read back whole, or refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from visionlib.errors import RunError
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.runs import Run

ARRAYS: dict[str, NDArray[Any]] = {"a": np.arange(6).reshape(2, 3), "b": np.array([0.5, 1.5], dtype=np.float32)}


def take(tensors: dict[str, Any], record: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return tensors, record


def test_arrays_and_record_come_back_and_the_bytes_are_the_same(copied_run: Run) -> None:
    save_kept(copied_run, "folder/thing", ARRAYS, {"of": "x"})
    place = copied_run.inspection / "folder" / "thing.npz"
    before = place.read_bytes()
    tensors, record = load_kept(copied_run, "folder/thing", {"of": "x"}, take)
    assert {name: value.tolist() for name, value in tensors.items()} == {k: v.tolist() for k, v in ARRAYS.items()}
    assert record["of"] == "x"
    save_kept(copied_run, "folder/thing", ARRAYS, {"of": "x"})
    assert place.read_bytes() == before
    assert sorted(path.name for path in place.parent.iterdir()) == ["thing.json", "thing.npz"]


def test_what_is_of_something_else_is_refused(copied_run: Run) -> None:
    save_kept(copied_run, "thing", ARRAYS, {"weights_sha256": "x"})
    with pytest.raises(RunError, match=r"thing\.npz: is of another weights sha256; make it anew"):
        load_kept(copied_run, "thing", {"weights_sha256": "y"}, take)
    with pytest.raises(RunError, match=r"other\.npz: the run lacks it; make it anew with `visionlib inspect`"):
        load_kept(copied_run, "other", {}, take)


def test_half_of_a_pair_and_damage_are_refused(copied_run: Run) -> None:
    save_kept(copied_run, "thing", ARRAYS, {})
    place = copied_run.inspection / "thing.npz"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1])
    with pytest.raises(RunError, match="is not the file that its record vouches for"):
        load_kept(copied_run, "thing", {}, take)
    place.write_bytes(whole)
    with pytest.raises(RunError, match="is damaged"):
        load_kept(copied_run, "thing", {}, lambda tensors, record: record["absent"])
    place.with_suffix(".json").unlink()
    with pytest.raises(RunError, match="the run lacks it"):
        load_kept(copied_run, "thing", {}, take)


def test_a_place_that_cannot_be_written_is_told(copied_run: Run) -> None:
    copied_run.inspection.write_text("a file where the folder should be")
    with pytest.raises(RunError, match=r"inspection: cannot be written \(.*\); copy the run to where you may write"):
        save_kept(copied_run, "thing", ARRAYS, {})
