"""Votes from a CSV file, with or without a header of class names, with or without a column `index`."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visionlib.errors import DataError

INDEX = "index"
_LISTED_NAMES = 3


def read_vote_table(
    path: Path, classes: tuple[str, ...], n: int
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Read a CSV file of votes.

    Args:
        path: of the file.
        classes: class names, in the order of the returned columns.
        n: number of images in the split; reading stops once there are more rows.
    Returns:
        Raw votes, a row for each line, and the column `index`, None where there is none.
    Raises:
        DataError: if it is no table of votes; the message names the line.
        OSError: if it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            # A header and one row more than there are images: enough to detect too many rows.
            lines = list(islice(((reader.line_num, row) for row in reader if row), n + 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"is no CSV file in UTF-8 ({error})", "save it again") from error
    if not lines:
        raise DataError(path, "is empty", "name a file of votes")
    header = [cell.strip() for cell in lines[0][1]]
    # Class names may be numbers, like votes. Then the number of rows decides.
    can_be_names = sorted(header) == sorted(name.strip() for name in classes)
    is_named = can_be_names and (not _are_numbers(header) or len(lines) != n)
    if not is_named and _are_numbers(header):
        columns, index_column, rows = list(range(len(classes))), None, lines
    else:
        columns, index_column = _read_header(path, header, classes)
        rows = lines[1:]
    width = len(columns) + (index_column is not None)
    table = np.array(list(_read_rows(path, rows, width)), dtype=np.float64).reshape(-1, width)
    if index_column is None:
        return table[:, columns], None
    named = table[:, index_column]
    if not (np.isfinite(named) & (named == np.floor(named)) & (np.abs(named) < 2**53)).all():
        raise DataError(path, "its column `index` holds what is no whole number", "give the positions in the source")
    return table[:, columns], named.astype(np.int64)


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return False
    return True


def _read_header(path: Path, header: list[str], classes: tuple[str, ...]) -> tuple[list[int], int | None]:
    """Find the column of each class, and that of the index."""
    names = [name.strip() for name in classes]
    index_column = header.index(INDEX) if INDEX in header and INDEX not in names else None
    given = [name for column, name in enumerate(header) if column != index_column]
    if sorted(given) != sorted(names):
        absent, other = [name for name in names if name not in given], [name for name in given if name not in names]
        parts = [f"{verb} {list_names(some)}" for verb, some in (("lacks", absent), ("has", other)) if some]
        problem = " and ".join(parts) or "has a class twice"
        raise DataError(path, f"its header {problem}", "name each class of the run once, and `index` if you like")
    if len(set(names)) < len(names):
        raise DataError(path, "has a header, and classes of the run share a name", "leave the header out")
    return [header.index(name) for name in names], index_column


def list_names(names: Sequence[str]) -> str:
    """List the first few names, each cut to 40 characters."""
    listed = ", ".join(repr(name if len(name) <= 40 else name[:40] + "...") for name in names[:_LISTED_NAMES])
    return listed if len(names) <= _LISTED_NAMES else f"{listed} and {len(names) - _LISTED_NAMES} more"


def _read_rows(path: Path, rows: list[tuple[int, list[str]]], width: int) -> Iterator[list[float]]:
    for number, row in rows:
        if len(row) != width:
            problem = f"line {number} has {len(row)} columns instead of {width}"
            raise DataError(path, problem, "give a column for each class, and one `index` in the header if you like")
        try:
            yield [float(cell) for cell in row]
        except ValueError:
            column, cell = next((column, cell) for column, cell in enumerate(row, 1) if not _are_numbers([cell]))
            problem = f"line {number}, column {column}: {cell[:40]!r} is no number"
            raise DataError(path, problem, "write counts or fractions") from None
