"""CSV files for spreadsheets, written atomically; no class name becomes a formula."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from visionlib.runs import check_file_place, replacing

_FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_QUOTE = "'"
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Cell = str | int | float | bool | None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    r"""Write a table atomically, by RFC 4180, in UTF-8.

    Text with commas, quotes or line breaks is quoted. Text that a spreadsheet would evaluate gets a leading
    apostrophe, see `escape_formula`; numbers are unchanged. Control characters, which a terminal would obey, become
    escapes like `\x1b`, but for tabs and line breaks. None is an empty cell.

    Raises:
        ConfigError: if the path is a folder, or its folder is absent.
        RunError: if the file cannot be written.
    """
    check_file_place(path)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(map(_escape, row) for row in rows)


def _escape(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    return escape_formula(_CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", cell))


def escape_formula(text: str) -> str:
    """Put an apostrophe before text that begins, after spaces, with = + - @ or their full-width forms.

    Text that begins with an apostrophe gets another one, so removing one leading apostrophe restores every text.

    Source: OWASP, CSV Injection.
    """
    start = text.lstrip()[:1]
    return _QUOTE + text if start in _FORMULA_STARTS or text.startswith(_QUOTE) else text
