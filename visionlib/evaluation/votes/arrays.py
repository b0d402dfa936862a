"""Votes from an npz or npy file: the size is checked before the array is read, and nothing is unpickled."""

import zipfile
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from visionlib.errors import DataError
from visionlib.evaluation.votes.table import INDEX, list_names
from visionlib.runs.arrays import ARRAY_DAMAGES


def read_vote_arrays(path: Path, k: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Read votes from an npz or npy file; an array of another size is not read at all.

    Args:
        path: of the file, npz or npy by its name.
        k: number of classes.
        n: number of images in the split.
    Returns:
        Raw votes, a row for each image, and the array `index`, None where there is none.
    Raises:
        DataError: if it is damaged, or the array does not have k columns and at most n rows.
        OSError: if it cannot be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return _read_votes(path, file, k, n), None
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = "votes" if "votes" in names else names[0] if len(names) == 1 else None
            if chosen is None:
                raise DataError(path, f"holds {list_names(names)}, and no array `votes`", "name the array `votes`")
            with archive.open(archive.namelist()[names.index(chosen)]) as file:
                votes = _read_votes(path, file, k, n)
            if INDEX not in names or chosen == INDEX:
                return votes, None
            with archive.open(archive.namelist()[names.index(INDEX)]) as file:
                return votes, _read_index(path, file, len(votes))
    except ARRAY_DAMAGES as error:
        raise DataError(path, f"is damaged ({error})", "save it again with numpy") from error


def _read_votes(path: Path, file: IO[bytes] | BufferedIOBase, k: int, n: int) -> NDArray[np.float64]:
    shape, dtype = _read_shape(file)
    if dtype.kind not in "buif":
        raise DataError(path, f"its array is of type {dtype}", "save counts or fractions as numbers")
    if len(shape) != 2 or shape[1] != k:
        raise DataError(path, f"its array has shape {shape}", f"{k} classes need rows of {k} votes")
    if shape[0] > n:
        raise DataError(path, f"has {shape[0]:,} rows for {n:,} images", "name the votes of this split")
    # Read only after its size has been checked.
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False).astype(np.float64)


def _read_index(path: Path, file: IO[bytes] | BufferedIOBase, rows: int) -> NDArray[np.int64]:
    shape, dtype = _read_shape(file)
    if dtype.kind not in "iu" or shape != (rows,):
        problem = f"its array `index` has shape {shape} and type {dtype}"
        raise DataError(path, problem, f"give {rows} whole numbers, one for each row of votes")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False).astype(np.int64)


def _read_shape(file: IO[bytes] | BufferedIOBase) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
