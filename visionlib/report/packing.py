"""Arrays as base64 of little-endian numbers, with the name of their type."""

import base64
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

_TYPES = {"u1": "uint8", "u2": "uint16", "i4": "int32", "f4": "float32"}


class PackedArray(TypedDict):
    """An array as `data.js` unpacks it: the name of a typed array of JavaScript, and the content."""

    type: str
    base64: str


def pack(values: NDArray[Any], kind: str) -> PackedArray:
    """Pack an array whose values fit into the type.

    Args:
        values: numbers of any shape, packed in C order without the shape.
        kind: `u1`, `u2`, `i4` or `f4`.
    Raises:
        ValueError: if an integer does not fit.
    """
    converted = np.ascontiguousarray(values).astype(f"<{kind}")
    if kind != "f4" and not np.array_equal(converted, values):
        raise ValueError(f"values do not fit into {_TYPES[kind]}")
    return {"type": _TYPES[kind], "base64": base64.b64encode(converted.tobytes()).decode()}


def pack_fractions(fractions: NDArray[Any]) -> PackedArray:
    """Pack fractions from 0 to 1 as multiples of 1/65535, finer than the page shows them."""
    return pack(np.rint(np.asarray(fractions, dtype=np.float64) * 65535), "u2")


def pack_unless_range(values: NDArray[np.int64]) -> PackedArray | None:
    """Pack integers; None where they count from 0, as those of a whole split."""
    return None if np.array_equal(values, np.arange(len(values))) else pack(values, "i4")
