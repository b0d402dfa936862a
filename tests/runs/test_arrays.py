"""Arrays are refused by what their file claims, before memory is taken for it, and by what they are."""

import io
import tracemalloc
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from jaxtyping import Float32, Int64

from visionlib.errors import RunError
from visionlib.runs.arrays import check_shapes, fit_arrays, read_arrays
from visionlib.runs.fields import FieldError

REMEDY = "make it again"


def header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"a.npy": header("'<f4'", "(10000000000,)") + bytes(8)}), "claims 40,000,000,000 bytes, and has 8"),
        (archive({"a.npy": header("'<f4'", "(-2,)") + bytes(8)}), "claims -8 bytes, and has 8"),
        (archive({"a.npy": header("'<U100000000'", "(2,)") + bytes(8)}), "claims 800,000,000 bytes, and has 8"),
        (
            archive({"a.npy": b"\x93NUMPY\x03\x00" + header("'<f4'", "(2,)")[8:]}),
            r"'a\.npy' has version \(3, 0\) of numpy's format",
        ),
        (archive({"a.npy": header("'<f4'", "(0, 10**9)") + bytes(8)}), "is damaged"),
        (archive({"a.npy": header("'|O'", "(2,)") + bytes(16)}), "allow_pickle=False"),
        (archive({"a.npy": header("'>f4'", "(2,)") + bytes(8)}), "holds >f4"),
        (archive({"a.npy": header("[('x', '<f4')]", "(2,)") + bytes(8)}), "holds"),
        (archive({"a.npy": header("'<f4'", "(" * 2000) + bytes(8)}), "is damaged"),
        (archive({"a.npy": header("'<f4'", "-" * 9000 + "1") + bytes(8)}), "is damaged"),
        (archive({"a.npy": header("'<f4'", "(2L,)") + bytes(8)}), "is damaged"),
        (archive({"a.txt": b"x"}), "'a.txt' is no array"),
        (archive({f"{n}.npy": b"" for n in range(5000)}), "5000 arrays are too many"),
        (
            archive({"a.npy": bytes(40 * 2**20)}, zipfile.ZIP_DEFLATED),
            "unpacks to 41,943,040 bytes, more than the limit",
        ),
        (b"PK\x03\x04 no more", "is damaged"),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    file.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match=message):
            read_arrays(file, remedy=REMEDY)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_compressed_arrays_are_read(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    np.savez_compressed(file, a=np.zeros(10**6), b=np.array("x"))
    arrays = read_arrays(file, remedy=REMEDY)
    assert arrays["a"].shape == (10**6,)
    assert str(arrays["b"]) == "x"


def test_a_folder_in_the_place_of_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a folder, or a file of a special kind; restore it"):
        read_arrays(tmp_path, remedy=REMEDY)


@dataclass(frozen=True, eq=False)
class Table:
    labels: Int64[np.ndarray, "n"]
    logits: Float32[np.ndarray, "n k"]
    name: str
    others: Float32[np.ndarray, "n d"] | None = None


GOOD: dict[str, Any] = {
    "labels": np.zeros(3, np.int64),
    "logits": np.zeros((3, 2), np.float32),
    "name": np.array("x"),
    "later": np.zeros(7),
}


def test_arrays_become_their_dataclass() -> None:
    table = fit_arrays(Table, GOOD)
    assert table.labels is GOOD["labels"]
    assert (table.name, table.others) == ("x", None)
    assert fit_arrays(Table, {**GOOD, "others": np.zeros((3, 9), np.float32)}).others is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3)}, r"labels is float64\[3\], and must be int64\[n\]"),
        (
            {"labels": np.zeros(4, np.int64)},
            r"logits is float32\[3, 2\], and must be float32\[n k\], as those before it",
        ),
        ({"logits": np.zeros((3, 2, 1), np.float32)}, r"logits is float32\[3, 2, 1\]"),
        ({"others": np.zeros((4, 2), np.float32)}, r"others is float32\[4, 2\], and must be float32\[n d\]"),
        ({"name": np.zeros(())}, r"name is float64\[\], and must be a text"),
        ({"name": np.array(["x"])}, r"name is <U1\[1\], and must be a text"),
    ],
)
def test_the_first_array_that_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        fit_arrays(Table, {**GOOD, **changes})
    with pytest.raises(FieldError, match="logits is missing"):
        fit_arrays(Table, {"labels": GOOD["labels"], "name": GOOD["name"]})


class Pair(NamedTuple):
    first: Float32[np.ndarray, "n"]
    second: Int64[np.ndarray, "n"]


def test_tensors_are_compared_with_the_fields_of_their_names() -> None:
    check_shapes(Pair, {"first": np.zeros(3, np.float32), "second": np.zeros(3, np.int64)})
    with pytest.raises(FieldError, match=r"second is int64\[2\], and must be"):
        check_shapes(Pair, {"first": np.zeros(3, np.float32), "second": np.zeros(2, np.int64)})
    with pytest.raises(FieldError, match=r"third is float64\[1\], and must be absent"):
        check_shapes(Pair, {"third": np.zeros(1)})


def test_an_absent_file_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.npz: the run lacks it; make it again"):
        read_arrays(tmp_path / "a.npz", remedy=REMEDY)
