"""A result that a run keeps is read back whole, or refused."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from visionlib.errors import RunError
from visionlib.runs import SCHEMA_VERSION, read_json
from visionlib.runs.arrays import read_arrays
from visionlib.runs.fields import FieldError
from visionlib.runs.results import load_result, save_result

ARRAYS: dict[str, NDArray[Any]] = {"a": np.arange(6).reshape(2, 3), "b": np.array([0.5, 1.5], dtype=np.float32)}
REMEDY = "visionlib inspect"


def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    return record, arrays


def test_record_and_arrays_come_back_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "thing.json"
    save_result(path, {"of": "x"}, arrays=ARRAYS)
    before = path.with_suffix(".npz").read_bytes()
    record, arrays = load_result(path, {"of": "x"}, build, remedy=REMEDY)
    assert record["of"] == "x"
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])
    save_result(path, {"of": "x"}, arrays=ARRAYS)
    assert path.with_suffix(".npz").read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["thing.json", "thing.npz"]


def test_a_result_without_arrays_is_a_record_alone(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    save_result(path, {"n": 3})
    assert read_json(path) == {"schema_version": SCHEMA_VERSION, "n": 3}
    record, arrays = load_result(path, {"n": 3}, build, remedy=REMEDY, has_arrays=False)
    assert (record["n"], arrays) == (3, {})
    assert [file.name for file in tmp_path.iterdir()] == ["thing.json"]


def test_arrays_may_have_a_file_name_of_their_own(tmp_path: Path) -> None:
    path, file = tmp_path / "manifest.json", tmp_path / "maps.npz"
    save_result(path, {}, arrays=ARRAYS, file=file)
    _, arrays = load_result(path, {}, build, remedy=REMEDY, file=file)
    assert np.array_equal(arrays["a"], ARRAYS["a"])
    assert not path.with_suffix(".npz").exists()


def test_a_result_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    save_result(path, {"weights_sha256": "x"}, arrays=ARRAYS)
    with pytest.raises(RunError, match=r"thing\.npz: was made with other weights; make it anew with `visionlib"):
        load_result(path, {"weights_sha256": "y"}, build, remedy=REMEDY)
    with pytest.raises(RunError, match=r"thing\.npz: was made with another seed"):
        load_result(path, {"weights_sha256": "x", "seed": 0}, build, remedy=REMEDY)


def test_an_absent_result_is_an_error_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"other\.npz: the run lacks it; make it anew with `visionlib inspect`"):
        load_result(tmp_path / "other.json", {}, build, remedy=REMEDY)
    with pytest.raises(RunError, match=r"other\.json: the run lacks it"):
        load_result(tmp_path / "other.json", {}, build, remedy=REMEDY, has_arrays=False)


def test_half_of_a_pair_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    save_result(path, {}, arrays=ARRAYS)
    file = path.with_suffix(".npz")
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(RunError, match=r"thing\.npz: does not have the SHA-256 of its record"):
        load_result(path, {}, build, remedy=REMEDY)
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"thing\.npz: is damaged \(KeyError\('absent'\)\)"):
        load_result(path, {}, lambda record, arrays: record["absent"], remedy=REMEDY)

    def refuse(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        raise FieldError("n", "is missing")

    with pytest.raises(RunError, match=r"thing\.npz: is damaged \(n is missing\)"):
        load_result(path, {}, refuse, remedy=REMEDY)
    file.unlink()
    with pytest.raises(RunError, match="the run lacks it"):
        load_result(path, {}, build, remedy=REMEDY)
    file.write_bytes(content)
    path.unlink()
    with pytest.raises(RunError, match="the run lacks it"):
        load_result(path, {}, build, remedy=REMEDY)


def test_arrays_are_written_before_the_record_that_holds_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    save_result(path, {"n": 1}, arrays=ARRAYS)
    with pytest.raises(ValueError, match="Out of range float"):
        save_result(path, {"n": float("nan")}, arrays={"a": np.zeros(3)})
    with pytest.raises(RunError, match="does not have the SHA-256 of its record"):
        load_result(path, {}, build, remedy=REMEDY)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inspection").write_text("a file where the folder should be")
    with pytest.raises(RunError, match=r"inspection: cannot be written \(.*\); copy the run to where you may write"):
        save_result(tmp_path / "inspection" / "thing.json", {}, arrays=ARRAYS)


def test_a_damaged_byte_of_an_array_file_raises_nothing_but_a_run_error(tmp_path: Path) -> None:
    """Without a SHA-256: whatever numpy and zipfile raise, of headers above all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, n=np.arange(3))
    content, file = buffer.getvalue(), tmp_path / "arrays.npz"
    undetected = 0
    for position in range(len(content)):
        for mask in (0x01, 0x20, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            file.write_bytes(damaged)
            with contextlib.suppress(RunError):
                read_arrays(file, remedy=REMEDY)
                undetected += 1
    assert undetected < len(content)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    np.savez(file, allow_pickle=True, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(RunError, match=r"arrays\.npz: is damaged \(.*allow_pickle=False\)"):
        read_arrays(file, remedy=REMEDY)
