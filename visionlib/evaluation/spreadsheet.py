"""CSV files for spreadsheets, written atomically; no class name becomes a formula."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from visionlib.errors import ConfigError
from visionlib.runs import check_file_place, replacing

_FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_QUOTE = "'"

Cell = str | int | float | bool | None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table atomically, by RFC 4180, in UTF-8.

    Text with commas, quotes or line breaks is quoted. Text that a spreadsheet would evaluate gets a leading
    apostrophe, see `escape_formula`; numbers are unchanged. None is an empty cell.

    Raises:
        ConfigError: if the file cannot be written.
    """
    check_file_place(path)
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([escape_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be written ({error.strerror})", "name another file") from error


def escape_formula(text: str) -> str:
    """Put an apostrophe before text that begins, after spaces, with = + - @ or their full-width forms.

    Text that begins with an apostrophe gets another one, so removing one leading apostrophe restores every text.

    Source: OWASP, CSV Injection.
    """
    start = text.lstrip()[:1]
    return _QUOTE + text if start in _FORMULA_STARTS or text.startswith(_QUOTE) else text
