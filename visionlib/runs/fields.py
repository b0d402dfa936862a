"""`parse_record`: a JSON object as a frozen dataclass, checked by the annotations of its fields, in one place.

A run folder may be damaged, or come from a stranger. Requirements:

- A field has its type and lies in its range, or a `FieldError` names it; nothing else is raised, whatever the JSON is.
- Records grow: fields that are not declared are left out, and one that is declared with a default may be absent.
- A declaration is all that a record needs: `int`, `float` (finite), `str`, `bool`, `Literal`, `X | None`,
  `tuple[X, ...]`, `tuple[X, Y]`, `Mapping[str, X]`, dataclasses within it, and `Annotated` with a `Range`, a `Length`,
  a `Key` for another name in the record, or `WHOLE` for the JSON object itself.
"""

import dataclasses
import functools
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

_LARGEST_INTEGER = 2**63 - 1
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


class FieldError(ValueError):
    """A field of a record is absent, or has another type or value than declared.

    Args:
        place: the field's path, as `dataset.splits.train.n`; empty for the record itself.
        problem: a verb and the rest of the sentence.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place or 'the record'} {problem}")


@dataclass(frozen=True)
class Range:
    """Of a number: the least and the largest value."""

    low: float
    high: float

    def check(self, value: float, place: str) -> None:
        """Raise a `FieldError` for a number outside."""
        if not self.low <= value <= self.high:
            raise FieldError(place, f"is {value}, and must be from {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Length:
    """Of a text or a list: the least and the largest number of characters or items."""

    low: int
    high: int = 10**6

    def check(self, value: Any, place: str) -> None:
        """Raise a `FieldError` for another length."""
        if not self.low <= len(value) <= self.high:
            limits = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
            raise FieldError(place, f"has {len(value)} items, and must have {limits}")


@dataclass(frozen=True)
class Key:
    """Of a field: its name in the record, where that is no name in Python, or a worse one."""

    name: str

    def check(self, value: object, place: str) -> None:
        """Accept any value."""


class WithoutNul:
    """Of a path: no character 0, which no system call takes."""

    def check(self, value: str, place: str) -> None:
        """Raise a `FieldError` for a text with one."""
        if "\0" in value:
            raise FieldError(place, "holds a character 0, and must be a path")


WHOLE = Key("")
"""Of a field: it takes the whole JSON object, to show or sign it as it is."""
Count = Annotated[int, Range(0, 2**53)]
"""A number of things; exact as a float, too."""
Unit = Annotated[float, Range(0, 1)]
"""A fraction of a whole, or a probability."""
Seconds = Annotated[float, Range(0, 1e12)]
PathText = Annotated[str, WithoutNul()]


def parse_record(kind: type[Record], fields: object, place: str = "") -> Record:
    """Return a dataclass of the fields of a JSON object.

    Args:
        kind: a dataclass.
        fields: the JSON object.
        place: its own path within a record, for messages.
    Raises:
        FieldError: naming the first field that is not as declared.
    """
    if not isinstance(fields, Mapping):
        raise FieldError(place, f"is {_show(fields)}, and must be an object")
    values = {}
    for item, key, hint in _list_fields(cast("Any", kind)):
        if not key:
            values[item.name] = fields
        elif key in fields:
            values[item.name] = parse_value(hint, fields[key], _join(place, key))
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise FieldError(_join(place, key), "is missing")
    try:
        return kind(**values)
    except FieldError as error:  # of what the fields are together
        raise FieldError(place, str(error)) if place else error from None


def parse_value(kind: Any, value: Any, place: str) -> Any:
    """Return a JSON value as an annotation says; see the head of this file.

    Raises:
        FieldError: if it is something else.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        value = parse_value(arguments[0], value, place)
        for limit in arguments[1:]:
            limit.check(value, place)
        return value
    if origin is Literal:
        return _parse_choice(arguments, value, place)
    if origin in (Union, UnionType):
        return _parse_one_of(arguments, value, place)
    if origin is tuple:
        return _parse_items(arguments, value, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise FieldError(place, f"is {_show(value)}, and must be an object")
        return {key: parse_value(arguments[1], item, _join(place, key)) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return parse_record(cast("type", kind), value, place)
    return _parse_scalar(kind, value, place)


def _parse_choice(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    raise FieldError(place, f"is {_show(value)}, and must be one of: {', '.join(map(str, choices))}")


def _parse_scalar(kind: Any, value: Any, place: str) -> Any:
    if kind in (float, Fraction) and type(value) in (int, float):
        if abs(value) <= _LARGEST_INTEGER or (type(value) is float and math.isfinite(value)):
            return kind(value)
        raise FieldError(place, f"is {_show(value)}, and must be finite")
    if type(value) is not kind:
        raise FieldError(place, f"is {_show(value)}, and must be {_NAMES.get(kind, 'a number')}")
    if kind is int and abs(value) > _LARGEST_INTEGER:
        raise FieldError(place, f"is {_show(value)}, and must be below 2^63")
    return value


def _parse_one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    others = [kind for kind in kinds if kind is not NoneType]
    if value is None and len(others) < len(kinds):
        return None
    for kind in others[:-1]:
        try:
            return parse_value(kind, value, place)
        except FieldError:
            continue
    return parse_value(others[-1], value, place)


def _parse_items(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise FieldError(place, f"is {_show(value)}, and must be a list")
    if kinds[-1] is not Ellipsis:
        Length(len(kinds), len(kinds)).check(value, place)
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(parse_value(kind, item, f"{place}[{at}]") for at, (kind, item) in pairs)
    if kinds[0] is str and all(type(item) is str for item in value):  # names in thousands
        return tuple(value)
    return tuple(parse_value(kinds[0], item, f"{place}[{at}]") for at, item in enumerate(value))


@functools.cache
def _list_fields(kind: Any) -> tuple[tuple[dataclasses.Field[Any], str, Any], ...]:
    """List the fields of a dataclass with their names in a record, and their annotations."""
    hints = get_type_hints(kind, include_extras=True)
    keys = {name: [part.name for part in get_args(hint)[1:] if isinstance(part, Key)] for name, hint in hints.items()}
    return tuple((item, *(keys[item.name] or [item.name]), hints[item.name]) for item in dataclasses.fields(kind))


def _join(place: str, key: str) -> str:
    name = key if key.isprintable() else ascii(key)
    return f"{place}.{name[:80]}" if place else name[:80]


def _show(value: object) -> str:
    """Describe a value in a few printable characters; containers are not gone into."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return reprlib.repr(value) if value is not None else "null"
