"""Votes out of every container alike; what is wrong with a file is one line."""

import contextlib
import csv
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from visionlib.errors import DataError
from visionlib.evaluation import load_votes

CLASSES = ("cat", "a, dog", "ship")
VOTES = np.array([[8.0, 1, 1], [0, 5, 5], [1, 0, 0], [2, 6, 2]])
INDEX = torch.tensor([10, 11, 12, 13])
SHARES = torch.tensor([[0.8, 0.1, 0.1], [0, 0.5, 0.5], [1, 0, 0], [0.2, 0.6, 0.2]], dtype=torch.float64)


def write_rows(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def save(path: Path, kind: str) -> Path:
    """Write VOTES in one of the containers."""
    votes = VOTES.tolist()
    turned = [[row[2], row[0], row[1]] for row in votes]
    if kind == "npz":
        np.savez(path / "v.npz", other=np.zeros(3), votes=VOTES)
    elif kind == "single":
        np.savez_compressed(path / "v.npz", VOTES.astype(np.int16))
    elif kind == "npy":
        np.save(path / "v.npy", np.asfortranarray(VOTES.astype(np.float32)))
    elif kind == "indexed npz":
        np.savez(path / "v.npz", votes=VOTES[[2, 0, 3, 1]], index=np.array([12, 10, 13, 11]))
    elif kind == "plain":
        write_rows(path / "v.csv", votes)
    elif kind == "header":
        write_rows(path / "v.csv", [["ship", "cat", "a, dog"], *turned])
    else:
        rows = [[*row, name] for row, name in zip(turned, [10, 11, 12, 13], strict=True)]
        (path / "v.csv").write_bytes(b"\xef\xbb\xbf")
        text = io.StringIO()
        csv.writer(text).writerows([["ship", "cat", "a, dog", "index"], *rows[::-1], []])
        (path / "v.csv").write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    return next(path.iterdir())


@pytest.mark.parametrize("kind", ["npz", "single", "npy", "indexed npz", "plain", "header", "indexed CSV"])
def test_every_container_gives_the_same_shares(kind: str, tmp_path: Path) -> None:
    votes = load_votes(save(tmp_path, kind), CLASSES, INDEX)
    assert torch.allclose(votes.fractions, SHARES, atol=1e-7)
    assert bool(votes.has_votes.all())


def test_some_images_may_be_without_votes(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "v.csv", [["index", *CLASSES], [13, 2, 6, 2], [10, 0.8, 0.1, 0.1]])
    votes = load_votes(path, CLASSES, INDEX)
    assert votes.has_votes.tolist() == [True, False, False, True]
    assert torch.allclose(votes.fractions, SHARES * votes.has_votes[:, None])


def test_names_that_are_numbers_are_told_from_votes_by_the_number_of_rows(tmp_path: Path) -> None:
    classes = ("0", "1")
    rows: list[list[Any]] = [[1, 0], [3, 1], [1, 1]]
    path = write_rows(tmp_path / "v.csv", rows)
    assert load_votes(path, classes, torch.arange(3)).fractions.tolist() == [[1, 0], [0.75, 0.25], [0.5, 0.5]]
    # With a row less to fill, the first one is a header, of the classes turned round.
    assert load_votes(path, classes, torch.arange(2)).fractions.tolist() == [[0.25, 0.75], [0.5, 0.5]]


HEADER = ["cat", "a, dog", "ship"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        ([[1, 1, 1]] * 3, "has 3 rows for 4 images; give a row for each, or a column `index`"),
        ([[1, 1, 1]] * 5, "has more than 4 rows for 4 images"),
        ([HEADER, *[[1, 1, 1]] * 9], "has more than 4 rows for 4 images"),
        ([[1, 1]] * 4, "line 1 has 2 columns instead of 3"),
        ([HEADER, [1, 1, 1], [1, 1, 1, 1], [1, 1, 1], [1, 1, 1]], "line 3 has 4 columns instead of 3"),
        ([[1, 1, 1], [1, "x", 1], [1, 1, 1], [1, 1, 1]], "line 2, column 2: 'x' is no number"),
        ([[1, 1, 1], [1, "", 1], [1, 1, 1], [1, 1, 1]], "line 2, column 2: '' is no number"),
        ([[1, 1, 1], [1, "nan", 1], [1, 1, 1], [1, 1, 1]], "row 1 holds a vote that is not a number"),
        ([[1, 1, 1], [1, "inf", 1], [1, 1, 1], [1, 1, 1]], "row 1 holds a vote that is not a number"),
        ([[1, 1, 1], [1e308, 1e308, 1e308], [1, 1, 1], [1, 1, 1]], "row 1 holds a vote that is not a number"),
        ([[1, 1, 1], [1, 1, 1], [3, -1, 1], [1, 1, 1]], "row 2 holds a vote below 0"),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]], "row 3 holds no vote at all"),
        ([["cat", "dog", "ship"], *[[1, 1, 1]] * 4], "its header lacks 'a, dog' and has 'dog'"),
        ([["cat", "ship"], *[[1, 1]] * 4], "its header lacks 'a, dog';"),
        ([[*HEADER, "x" * 99], *[[1, 1, 1, 1]] * 4], r"its header has 'x{40}\.\.\.'"),
        ([[*HEADER, "cat"], *[[1, 1, 1, 1]] * 4], "its header has a class twice"),
        ([["index", *HEADER], [10, 1, 1, 1], [99, 1, 1, 1]], "row 1 is of image 99, which the split does not have"),
        ([["index", *HEADER], [10, 1, 1, 1], [10, 1, 1, 1]], "has two rows for image 10"),
        ([["index", *HEADER], [10.5, 1, 1, 1]], "its column `index` holds what is no whole number"),
    ],
)
def test_a_wrong_table_is_refused(rows: list[list[Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_votes(write_rows(tmp_path / "v.csv", rows), CLASSES, INDEX)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": VOTES, "b": VOTES}, "holds 'a', 'b', and no array `votes`; name the array `votes`"),
        ({"votes": VOTES[:, :2]}, r"its array has shape \(4, 2\); 3 classes need rows of 3 votes"),
        ({"votes": VOTES[0]}, r"its array has shape \(3,\)"),
        ({"votes": VOTES[:3]}, "has 3 rows for 4 images"),
        ({"votes": np.ones((100_000, 3))}, "has 100,000 rows for 4 images"),
        ({"votes": VOTES.astype(str)}, "its array is of type <U32; save counts or fractions as numbers"),
        ({"votes": VOTES * 1j}, "its array is of type complex128"),
        ({"votes": VOTES, "index": np.arange(3)}, r"its array `index` has shape \(3,\)"),
        ({"votes": VOTES, "index": np.arange(4.0)}, "its array `index` has shape .* and type float64"),
        ({"votes": VOTES, "index": np.arange(4)}, "row 0 is of image 0, which the split does not have"),
        ({"votes": VOTES - 1}, "row 1 holds a vote below 0"),
        ({}, "holds , and no array|holds no array"),
    ],
)
def test_a_wrong_array_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_votes(tmp_path / "v.npz", CLASSES, INDEX)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bombs = np.empty((4, 3), dtype=object)
    bombs[:] = Bomb()
    np.savez("v.npz", votes=bombs)
    np.save("v.npy", bombs)
    Path("raw.npy").write_bytes(pickle.dumps(Bomb()))
    for name, message in (("v.npz", "of type object"), ("v.npy", "of type object"), ("raw.npy", "is damaged")):
        with pytest.raises(DataError, match=message):
            load_votes(name, CLASSES, INDEX)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("kind", ["npz", "single", "npy"])
def test_a_file_that_is_cut_off_or_altered_is_refused_or_read_right(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path, kind)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_votes(path, CLASSES, INDEX)
    generator = np.random.default_rng(0)
    for _ in range(60):
        altered = bytearray(content)
        altered[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        path.write_bytes(altered)
        with contextlib.suppress(DataError):
            load_votes(path, CLASSES, INDEX)


def test_an_array_that_promises_more_than_the_split_is_not_read(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    (tmp_path / "v.npy").write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("votes.npy", header.getvalue())
    for name in ("v.npy", "v.npz"):
        with pytest.raises(DataError, match="has 1,000,000,000,000 rows for 4 images"):
            load_votes(tmp_path / name, CLASSES, INDEX)


def test_no_file_and_no_votes_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file; name a file of votes"):
        load_votes(tmp_path / "absent.csv", CLASSES, INDEX)
    with pytest.raises(DataError, match="is no file of votes by its name"):
        load_votes(tmp_path / "votes.xlsx", CLASSES, INDEX)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="there is no such file"):
        load_votes(tmp_path / "folder.csv", CLASSES, INDEX)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 40)
    with pytest.raises(DataError, match="is no CSV file in UTF-8"):
        load_votes(tmp_path / "binary.csv", CLASSES, INDEX)
    (tmp_path / "wide.csv").write_text('"' + "x" * 200_000)
    with pytest.raises(DataError, match=r"is no CSV file in UTF-8 \(field larger"):
        load_votes(tmp_path / "wide.csv", CLASSES, INDEX)
