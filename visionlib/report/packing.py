"""Arrays as text that a page can hold: base64 of little-endian numbers, named by their type."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"u1": "uint8", "u2": "uint16", "i4": "int32", "f4": "float32"}


def pack(values: NDArray[Any], kind: str) -> dict[str, str]:
    """Pack an array; what it holds must fit into the type.

    Args:
        values: numbers of any shape; the order is that of C, and the shape is not kept.
        kind: `u1`, `u2`, `i4` or `f4`.
    Raises:
        ValueError: if a whole number does not fit.
    """
    found = np.ascontiguousarray(values).astype(f"<{kind}")
    if kind != "f4" and not np.array_equal(found, values):
        raise ValueError(f"values do not fit into {_TYPES[kind]}")
    return {"type": _TYPES[kind], "base64": base64.b64encode(found.tobytes()).decode()}


def pack_shares(shares: NDArray[Any]) -> dict[str, str]:
    """Pack shares from 0 to 1 as 65,535ths, which is finer than anything that is shown of them."""
    return pack(np.rint(np.asarray(shares, dtype=np.float64) * 65535), "u2")
