"""Multiply-accumulate operations (MACs) of convolutions, matrix products and attention."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_CONVOLUTIONS = frozenset({"convolution", "_convolution", "convolution_overrideable", "cudnn_convolution"})
_MATRIX_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm"})
_VECTOR_PRODUCTS = frozenset({"mv", "dot", "vdot"})
_ATTENTION = "_scaled_dot_product"


def has_macs(name: str) -> bool:
    """Whether an operation is of a kind that `count_macs` counts."""
    return name in _CONVOLUTIONS | _MATRIX_PRODUCTS | _VECTOR_PRODUCTS or name.startswith(_ATTENTION)


def count_macs(name: str, values: Mapping[str, Any], output: Tensor) -> int:
    """Count the MACs of an operation, for the whole batch; 0 for every other kind.

    Args:
        name: the operation without its overload, such as `convolution`.
        values: its arguments by their names in the schema.
        output: its first output.
    """
    if name in _CONVOLUTIONS:
        weight: Tensor = values["weight"]
        # A transposed convolution applies the kernel to every input element, a plain one to every output element.
        multiplied: Tensor = values["input"] if values["transposed"] else output
        return multiplied.numel() * math.prod(weight.shape[1:])
    if name in _MATRIX_PRODUCTS:
        left: Tensor = next(values[key] for key in ("mat1", "batch1", "self") if key in values)
        return output.numel() * left.shape[-1]
    if name in _VECTOR_PRODUCTS:
        vector: Tensor = values["self"]
        return vector.numel()
    if name.startswith(_ATTENTION):
        query: Tensor = values["query"]
        keys: int = values["key"].shape[-2]
        width: int = query.shape[-1] + values["value"].shape[-1]
        return query.shape[:-1].numel() * keys * width
    return 0
