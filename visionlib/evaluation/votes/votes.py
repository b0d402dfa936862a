"""`load_votes`: votes of annotators on each image, from a CSV, npz or npy file of counts or fractions per class."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.errors import DataError
from visionlib.evaluation.votes.arrays import read_vote_arrays
from visionlib.evaluation.votes.table import read_vote_table

_SUFFIXES = (".csv", ".npz", ".npy")


@dataclass(frozen=True, eq=False)
class Votes:
    """Votes of annotators on the images of a split.

    Attributes:
        source: path of the file.
        fractions: of the votes for each class, rows that sum to 1; zeros for images without votes.
        has_votes: whether an image has votes.
    """

    source: str
    fractions: Float64[Tensor, "n k"]
    has_votes: Bool[Tensor, "n"]


def load_votes(path: str | os.PathLike[str], classes: tuple[str, ...], index: Int64[Tensor, "n"]) -> Votes:
    """Read counts or fractions of votes, a row for each image and a column for each class. Nothing is unpickled.

    - CSV: a header of class names in any order, or no header and the columns in the order of `classes`. A column
      `index` gives the image of each row; without it there is a row for each image, in the order of the split.
    - npz: an array `votes`, or a single array whatever its name; an array `index` beside `votes` as in CSV.
    - npy: the array.

    Args:
        path: of the file.
        classes: class names, in the order of the logits.
        index: stable image ids of the split.
    Raises:
        DataError: if there is no such file, it is damaged, its shape or its class names do not fit the split, a vote is
            not a number or below 0, or a row has no vote.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        remedy = f"name one that ends in {', '.join(_SUFFIXES)}"
        raise DataError(path, "is no file of votes by its name", remedy, is_usage=True)
    if not path.is_file():
        raise DataError(path, "there is no such file", "name a file of votes", is_usage=True)
    try:
        if path.suffix.lower() == ".csv":
            votes, named = read_vote_table(path, classes, len(index))
        else:
            votes, named = read_vote_arrays(path, len(classes), len(index))
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "name another file") from error
    _check_values(path, votes)
    positions = _find_positions(path, named, index, len(votes))
    fractions = torch.zeros(len(index), len(classes), dtype=torch.float64)
    fractions[positions] = torch.from_numpy(votes / votes.sum(1, keepdims=True))
    has_votes = torch.zeros(len(index), dtype=torch.bool)
    has_votes[positions] = True
    return Votes(str(path), fractions, has_votes)


def _check_values(path: Path, votes: NDArray[np.float64]) -> None:
    remedy = "fix the row, counted from 0, or leave it out and say with a column `index` which images the others are of"
    with np.errstate(over="ignore"):
        totals = votes.sum(1)
    for is_bad, problem in (
        (~np.isfinite(votes).all(1) | ~np.isfinite(totals), "holds a vote that is not a number"),
        ((votes < 0).any(1), "holds a vote below 0"),
        (totals == 0, "holds no vote at all"),
    ):
        if is_bad.any():
            raise DataError(path, f"row {int(is_bad.argmax())} {problem}", remedy)


def _find_positions(
    path: Path, named: NDArray[np.int64] | None, index: Int64[Tensor, "n"], rows: int
) -> Int64[Tensor, "rows"]:
    """Return the position in the split of each row's image."""
    if named is None:
        if rows != len(index):
            count = f"more than {len(index):,}" if rows > len(index) else f"{rows:,}"
            problem = f"has {count} rows for {len(index):,} images"
            raise DataError(path, problem, "give a row for each, or a column `index` that says which they are of")
        return torch.arange(rows)
    position_of = {image: position for position, image in enumerate(index.tolist())}
    positions: dict[int, None] = {}
    for row, image in enumerate(named.tolist()):
        if image not in position_of:
            problem = f"row {row} is of image {image}, which the split does not have"
            raise DataError(path, problem, "name the votes of this split")
        if position_of[image] in positions:
            raise DataError(path, f"has two rows for image {image}", "leave one of them out")
        positions[position_of[image]] = None
    return torch.tensor(list(positions), dtype=torch.int64)
