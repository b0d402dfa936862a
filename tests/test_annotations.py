"""The checks of annotations, which all other tests rely on, are made."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float32, TypeCheckError

from tests.annotations import check_annotations, jaxtyped
from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.runs import Run

checked = jaxtyped(typechecker=check_annotations)
Array = np.ndarray[Any, Any]


@checked  # type: ignore[untyped-decorator]
def mix(left: Float32[Array, "n c"], right: "Float32[Array, 'n']", scale: float = 1.0) -> Float32[Array, "c n"]:
    return left.T if scale else left


@checked  # type: ignore[untyped-decorator]
def count(to: int) -> Iterator[int]:
    yield from range(to)


@checked
@dataclass(frozen=True)
class Pair:
    first: Float32[Array, "n"]
    second: Float32[Array, "n"]
    name: "str | NotThere" = "pair"  # type: ignore[name-defined]


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("left", "right", "scale"),
    [
        (zeros(2, 3), zeros(3), 1.0),
        (zeros(2), zeros(2), 1.0),
        (zeros(2, 3).astype(int), zeros(2), 1.0),
        (zeros(2, 3), [0, 0], 1.0),
        (zeros(2, 3), zeros(2), "1"),
        (zeros(2, 3), zeros(2), 0.0),
    ],
    ids=["axis of two arguments", "number of axes", "dtype", "type", "plain type", "axis of the result"],
)
def test_what_contradicts_a_signature_is_an_error(left: Any, right: Any, scale: Any) -> None:
    with pytest.raises(TypeCheckError):
        mix(left, right, scale)
    assert mix(zeros(2, 3), zeros(2), scale=1).shape == (3, 2)  # an int stands for a float
    assert mix(zeros(4, 5), zeros(4)).shape == (5, 4)  # in another call, an axis has another size


def test_generators_and_dataclasses_are_checked() -> None:
    assert list(count(3)) == [0, 1, 2]
    with pytest.raises(TypeCheckError):
        list(count("3"))
    assert Pair(zeros(2), zeros(2), name=3).name == 3  # of a type that is not there at run time
    with pytest.raises(TypeCheckError):
        Pair(zeros(2), zeros(3))


def test_the_functions_and_dataclasses_of_the_library_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Any = zeros(2)
    for call in (
        lambda: random_order(0, 0, wrong, Stream.FLIP),
        lambda: Run(wrong),
        lambda: ImageSplit(wrong, wrong, (), wrong),
    ):
        with pytest.raises(TypeCheckError):
            call()
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with contextlib.suppress(AttributeError):
        assert Run(wrong).path is wrong
