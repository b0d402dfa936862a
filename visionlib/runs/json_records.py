"""Records of a run in JSON: written whole, and read with more care than JSON asks for.

`read_record` is the way to read one: it returns a dataclass. `read_json` is for what shows or copies a record as it is.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionlib.errors import RunError
from visionlib.runs.fields import FieldError, Record, parse_record
from visionlib.runs.files import read_whole, write_bytes

SCHEMA_VERSION = 1
_RESTORE = "restore it, or train again"
_MOST_BYTES = 256 * 2**20
_MOST_DIGITS = 25
_MOST_LEVELS = 50


def read_json(path: Path) -> dict[str, Any]:
    """Read a record of a run; `read_record` checks its fields as well.

    Raises:
        RunError: if the file is absent, damaged, or of a newer schema than this version knows.
    """
    is_begun = (path.parent / "resume.pt").is_file()
    how = f"go on with: visionlib train --resume {path.parent}" if is_begun else "train it again"
    content = _read_record_file(path, f"the run did not finish; {how}")
    return _parse_object(path, content)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read records, one per line.

    Raises:
        RunError: if the file is absent, damaged, or of a newer schema than this version knows.
    """
    content = _read_record_file(path, "no epoch of it is finished; train it again")
    return [_parse_object(path, line) for line in content.split(b"\n") if line]


def read_record(path: Path, kind: type[Record], *, remedy: str = _RESTORE) -> Record:
    """Read a record of a run as a dataclass, each field checked by its annotation, see `parse_record`.

    Raises:
        RunError: as `read_json`, or if a field is not as declared; the message names it.
    """
    fields = read_json(path)
    try:
        return parse_record(kind, fields)
    except FieldError as error:
        raise RunError(path, f"is damaged ({error})", remedy) from error


def read_record_lines(path: Path, kind: type[Record]) -> tuple[Record, ...]:
    """Read records as dataclasses, one per line.

    Raises:
        RunError: as `read_record`.
    """
    lines = read_json_lines(path)
    try:
        return tuple(parse_record(kind, fields, f"line {number}") for number, fields in enumerate(lines, 1))
    except FieldError as error:
        raise RunError(path, f"is damaged ({error})", _RESTORE) from error


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record with its schema version, whole or not at all; NaN is refused."""
    write_bytes(path, encode_json({"schema_version": SCHEMA_VERSION, **record}, indent=2) + b"\n")


def write_json_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records, one per line, whole or not at all."""
    lines = [encode_json({"schema_version": SCHEMA_VERSION, **record}) for record in records]
    write_bytes(path, b"".join(line + b"\n" for line in lines))


def encode_json(record: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    r"""Write JSON in UTF-8; NaN is refused.

    The bytes of a file name that is not UTF-8, which Python holds as lone surrogates, become escapes like `\udce9`.
    Python reads them back as they were, so that the file can be opened.
    """
    text = json.dumps(record, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def _read_record_file(path: Path, remedy: str) -> bytes:
    try:
        return read_whole(path, most_bytes=_MOST_BYTES)
    except FileNotFoundError:
        raise RunError(path, "the run lacks this file", remedy) from None


def _parse_object(path: Path, content: bytes) -> dict[str, Any]:
    """Parse a record, stricter than JSON: finite numbers, each field once, a limited depth, a schema version."""
    try:
        record = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_refuse_repeated,
            parse_constant=_refuse_constant,
            parse_float=_parse_finite,
            parse_int=_parse_integer,
        )
        _check_depth(record)
    except (ValueError, RecursionError) as error:
        raise RunError(path, f"is damaged ({error})", _RESTORE) from error
    if not isinstance(record, dict):
        raise RunError(path, "is damaged (it is no object)", _RESTORE)
    version = record.get("schema_version")
    if type(version) is not int:
        raise RunError(path, "has no schema_version", "visionlib did not write it; name another file")
    if version > SCHEMA_VERSION:
        problem = f"has schema {version} and this visionlib knows up to {SCHEMA_VERSION}"
        raise RunError(path, problem, "update visionlib")
    return dict(record)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return record


def _refuse_constant(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no JSON")


def _parse_finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def _parse_integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:_MOST_DIGITS]}... is out of range")
    return int(text)


def _check_depth(record: object) -> None:
    """Refuse what code that goes down into a record cannot follow."""
    level = [record]
    for _ in range(_MOST_LEVELS):
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [child for value in containers for child in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
