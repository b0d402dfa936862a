"""A JSON object becomes a dataclass as its annotations say, or the first field that does not fit is named."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, Literal

import pytest

from visionlib.runs.fields import WHOLE, Count, FieldError, Key, Length, PathText, Range, Unit, parse_record


@dataclass(frozen=True)
class Inner:
    n: Count
    hash: str = ""


@dataclass(frozen=True)
class Outer:
    whole: Annotated[Mapping[str, Any], WHOLE]
    splits: Mapping[str, Inner]
    size: tuple[int, int]
    mean: Annotated[tuple[float, ...], Length(1, 3)]
    kind: Literal["crop", "whole"]
    name: Annotated[str, Key("class")]
    path: PathText | None
    share: Unit | None = None
    epochs: Annotated[int | float, Range(0, 100)] = 1
    steps: tuple[Fraction, ...] = ()
    is_on: bool = False
    others: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size[0] > self.size[1]:
            raise FieldError("size", "is higher than wide")


GOOD: dict[str, Any] = {
    "splits": {"train": {"n": 3, "hash": "x", "later": [1]}},
    "size": [2, 3],
    "mean": [1, 0.5],
    "kind": "crop",
    "class": "cat",
    "path": None,
    "later": {"a": 1},
}


def test_a_record_becomes_its_dataclass_and_later_fields_are_left_out() -> None:
    record = parse_record(Outer, {**GOOD, "steps": [1, 0.5], "epochs": 2.5})
    assert record == Outer(
        {**GOOD, "steps": [1, 0.5], "epochs": 2.5},
        {"train": Inner(3, "x")},
        (2, 3),
        (1.0, 0.5),
        "crop",
        "cat",
        None,
        steps=(Fraction(1), Fraction(1, 2)),
        epochs=2.5,
    )
    assert [type(value) for value in record.mean] == [float, float]
    assert parse_record(Outer, {**GOOD, "epochs": 2}).epochs == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train": {"n": -1}}}, "splits.train.n is -1, and must be from 0 to 9.0072e+15"),
        ({"splits": {"train": {}}}, "splits.train.n is missing"),
        ({"splits": {"train": {"n": True}}}, "splits.train.n is True, and must be a whole number"),
        ({"splits": {"\x1b[31m": {"n": 2.0}}}, r"splits.'\x1b[31m'.n is 2.0, and must be a whole number"),
        ({"splits": []}, "splits is a list of 0, and must be an object"),
        ({"class": {"a": 1}}, "class is an object, and must be a text"),
        ({"size": [2]}, "size has 1 items, and must have 2"),
        ({"size": [2, 2**63]}, "size[1] is 9223372036854775808, and must be below 2^63"),
        ({"size": [3, 2]}, "size is higher than wide"),
        ({"size": "23"}, "size is '23', and must be a list"),
        ({"mean": []}, "mean has 0 items, and must have 1 to 3"),
        ({"mean": [1.0, math.inf]}, "mean[1] is inf, and must be finite"),
        ({"mean": [math.nan]}, "mean[0] is nan, and must be finite"),
        ({"mean": [10**400]}, "mean[0] is 100000000000000000...0000000000000000000, and must be finite"),
        ({"kind": "other"}, "kind is 'other', and must be one of: crop, whole"),
        ({"kind": 1}, "kind is 1, and must be one of: crop, whole"),
        ({"class": None}, "class is null, and must be a text"),
        ({"path": "a\0b"}, "path holds a character 0, and must be a path"),
        ({"share": 1.5}, "share is 1.5, and must be from 0 to 1"),
        ({"share": "0.5"}, "share is '0.5', and must be a number"),
        ({"epochs": -1}, "epochs is -1, and must be from 0 to 100"),
        ({"epochs": []}, "epochs is a list of 0, and must be a number"),
        ({"is_on": 1}, "is_on is 1, and must be true or false"),
        ({"class": ["x" * 10**6]}, "class is a list of 1, and must be a text"),
    ],
)
def test_the_first_field_that_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_record(Outer, {**GOOD, **changes})
    assert str(caught.value) == message
    assert len(str(caught.value)) < 200


def test_what_is_no_object_is_no_record() -> None:
    with pytest.raises(FieldError, match="the record is null, and must be an object"):
        parse_record(Outer, None)
