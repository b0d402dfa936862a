"""`load_metadata`: columns of a CSV file as properties of a split's images, which it names by file or by index."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.data.sources import Sources
from visionlib.errors import DataError
from visionlib.evaluation.groups.properties import UNKNOWN, Category, Property, Quantity

INDEX = "index"
FILES = ("file", "source", "filename", "file_name", "path", "image")
"""Headers of the column of files, the first one that there is."""
_FEWEST_NUMBERS = 8
"""A column of fewer different numbers is one of names, such as 0 and 1."""
_MOST_NAMES = 1000
_UNKNOWN = frozenset({"", "nan", "na", "n/a", "none", "null"})
_ROW_NAME = re.compile(r"^(.*:\d+) \((.*)\)$", re.DOTALL)
"""A row's source with the name that the row holds itself."""


def load_metadata(
    path: Path, index: Int64[Tensor, "n"], sources: Sources | None
) -> tuple[tuple[Property, ...], tuple[str, ...]]:
    """Read the columns of a CSV file with a header, in UTF-8, separated by commas or semicolons.

    A column `index` names the images by their stable ids; else one called `file`, `source`, `filename`, `file_name`,
    `path` or `image` names their files: whole as `visionlib mistakes` shows them, by the end of that if no other image
    has it, or by a longer path that ends in it. Rows of other images are left out. A column of numbers is a quantity
    if at least eight of them differ, any other column is one of names. Empty cells are unknown.

    Args:
        path: of the file.
        index: stable image ids of the split.
        sources: their files, if they are known.
    Returns:
        The properties, and sentences on rows and columns that were left out.
    Raises:
        DataError: if there is no such file, it is no such table, no row is of an image, or two are of the same.
    """
    header, rows = _read_table(path)
    key = _find_key(path, header)
    row_of: dict[int, int] = {}
    is_index = header[key].lower() == INDEX
    images = _IndexKey(path, index) if is_index else _FileKey(path, index, sources)
    for number, row in enumerate(rows):
        position = images.locate(row[key].strip(), number + 2)
        if position is not None:
            if position in row_of:
                raise DataError(path, f"has two rows for {row[key].strip()!r}", "leave one of them out")
            row_of[position] = number
    if not row_of:
        problem = f"no value of its column {header[key]!r} is of an image of the split, such as {rows[0][key][:60]!r}"
        first = index[:1].tolist()
        example = "".join(str(image if sources is None or is_index else sources.name(image)) for image in first)
        raise DataError(path, problem, f"name the images as this split does, such as {example!r}")
    notes = []
    if len(row_of) < len(index):
        notes.append(f"{path.name} has rows for {len(row_of):,} of {len(index):,} images")
    properties: list[Property] = []
    for column, name in enumerate(header):
        if column != key:
            cells = [rows[row_of[at]][column].strip() if at in row_of else "" for at in range(len(index))]
            entry = _make_property(name, cells)
            if entry is None:
                problem = "it has no names, too many, or one for each image"
                notes.append(f"column {name!r} of {path.name} was left out: {problem}")
            else:
                properties.append(entry)
    return tuple(properties), tuple(notes)


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise DataError(path, "there is no such file", "name a CSV file of metadata", is_usage=True)
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.splitlines()[0] if text.strip() else ""
        delimiter = ";" if first.count(";") > first.count(",") else ","
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "name another file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"is no CSV file in UTF-8 ({error})", "save it again") from error
    if len(lines) < 2:
        raise DataError(path, "has no rows below a header", "name a CSV file of metadata")
    header = [cell.strip() for cell in lines[0]]
    for name in header:
        if not name or header.count(name) > 1:
            problem = f"its header has {name!r} twice" if name else "its header has an empty name"
            raise DataError(path, problem, "name each column once")
    for number, row in enumerate(lines[1:], 2):
        if len(row) != len(header):
            problem = f"row {number} has {len(row)} columns instead of {len(header)}"
            raise DataError(path, problem, "quote cells that hold the separator")
    return header, lines[1:]


def _find_key(path: Path, header: Sequence[str]) -> int:
    lowered = [name.lower() for name in header]
    for name in (INDEX, *FILES):
        if name in lowered:
            if len(header) == 1:
                raise DataError(path, f"has no column but {name!r}", "add the properties of the images as columns")
            return lowered.index(name)
    raise DataError(
        path, f"has no column that names the images, only {', '.join(header[:5])}", "call one `index` or `file`"
    )


class _IndexKey:
    """Positions by stable image ids."""

    def __init__(self, path: Path, index: Int64[Tensor, "n"]) -> None:
        self._path, self._positions = path, {image: position for position, image in enumerate(index.tolist())}

    def locate(self, cell: str, row: int) -> int | None:
        if not re.fullmatch(r"\d{1,18}", cell):
            raise DataError(self._path, f"row {row}: {cell[:40]!r} is no index", "give whole numbers from 0")
        return self._positions.get(int(cell))


class _FileKey:
    """Positions by the names of files."""

    def __init__(self, path: Path, index: Int64[Tensor, "n"], sources: Sources | None) -> None:
        if sources is None:
            problem = "names images by their files, and those of this split are not known"
            raise DataError(path, problem, "name them by a column `index`")
        self._path = path
        self._whole: dict[str, int | None] = {}
        self._by_end: dict[str, int | None] = {}
        for position, image in enumerate(index.tolist()):
            for name in _list_names(sources.name(image) or ""):
                _add(self._whole, name, position)
                for end in _list_ends(name):
                    _add(self._by_end, end, position)

    def locate(self, cell: str, row: int) -> int | None:
        name = _normalize(cell)
        for known, given in ((self._whole, [name]), (self._by_end, [name]), (self._whole, _list_ends(name))):
            for text in given:
                if text in known:
                    return self._refuse_several(known[text], cell, row)
        return None

    def _refuse_several(self, position: int | None, cell: str, row: int) -> int:
        if position is None:
            problem = f"row {row}: {cell[:60]!r} is the name of several images of the split"
            raise DataError(self._path, problem, "write more of the path, or name them by a column `index`")
        return position


def _add(positions: dict[str, int | None], name: str, position: int) -> None:
    """Note the image of a name; None for a name of several."""
    positions[name] = None if positions.get(name, position) != position else position


def _list_names(source: str) -> list[str]:
    """Return the names that a source has: a path, or a row's file and number, and the name that the row holds."""
    found = _ROW_NAME.match(source)
    return [_normalize(name) for name in ((source, *found.groups()) if found else (source,)) if name]


def _normalize(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").strip("/")


def _list_ends(name: str) -> list[str]:
    """Return the path without its first folder, without its first two, and so on."""
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]


def _make_property(name: str, cells: Sequence[str]) -> Property | None:
    """Make a property of a column; None if it says nothing."""
    is_known = [cell.lower() not in _UNKNOWN for cell in cells]
    known = [cell for cell, is_one in zip(cells, is_known, strict=True) if is_one]
    names = tuple(sorted(set(known)))
    numbers = [_parse(cell) for cell in names]
    if len(set(numbers)) >= _FEWEST_NUMBERS and all(map(math.isfinite, numbers)):
        values = [_parse(cell) if is_one else math.nan for cell, is_one in zip(cells, is_known, strict=True)]
        shown = embed_name(name)
        return Quantity(name, f"low {shown}", f"high {shown}", torch.tensor(values, dtype=torch.float64))
    if not names or len(names) > _MOST_NAMES or len(names) == len(known) > 1:
        return None
    positions = {text: position for position, text in enumerate(names)}
    codes = [positions[cell] if is_one else UNKNOWN for cell, is_one in zip(cells, is_known, strict=True)]
    # Braces of the name are no places for the value.
    wording = embed_name(name).replace("{", "{{").replace("}", "}}") + " {}"
    return Category(name, wording, names, torch.tensor(codes, dtype=torch.int64))


def _parse(cell: str) -> float:
    """Return a number; NaN for any other text."""
    try:
        return float(cell) if "_" not in cell else math.nan
    except ValueError:
        return math.nan
