"""Fast shape inference on meta tensors for the most frequent operations.

PyTorch infers all others. For these it would use symbolic shapes, which take a second to import and a millisecond per
call.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor


def infer_outputs(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Run an operation on meta tensors, for the shapes of its outputs."""
    rule = _SHAPE_RULES.get(func.name())
    result = None if rule is None or kwargs else rule(*args)
    return func(*args, **kwargs) if result is None else result


def _elementwise(inputs: Tensor, *_: Any) -> Tensor:
    # empty_like would use symbolic shapes, too.
    return torch.empty_strided(inputs.shape, inputs.stride(), dtype=inputs.dtype, device="meta")


def _broadcast(a: Tensor, b: Any, *_: Any) -> Tensor | None:
    if not isinstance(b, Tensor):
        return _elementwise(a) if a.is_floating_point() else None
    if a.dtype != b.dtype:
        return None
    return _elementwise(a) if a.shape == b.shape else a.new_empty(torch.broadcast_shapes(a.shape, b.shape))  # type: ignore[no-untyped-call]


def _batch_norm(inputs: Tensor, weight: Any, bias: Any, mean: Any, var: Any, is_training: bool, *_: Any) -> Any:
    return None if is_training else (_elementwise(inputs), inputs.new_empty(0), inputs.new_empty(0))


def _mean(inputs: Tensor, dim: list[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dim:
        return None
    dims = {at % inputs.ndim for at in dim}
    shape = [1 if at in dims else size for at, size in enumerate(inputs.shape) if keepdim or at not in dims]
    return inputs.new_empty(shape)


def _addmm(bias: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    fits = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0]
    return left.new_empty(left.shape[0], right.shape[1]) if fits else None


def _convolution(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    is_transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor | None:
    if is_transposed and inputs.ndim == weight.ndim and inputs.shape[1] != weight.shape[0]:
        # PyTorch accepts this on the meta device, and on no other.
        raise RuntimeError(f"expected input to have {weight.shape[0]} channels, but got {inputs.shape[1]}")
    sides, kernel = inputs.shape[2:], weight.shape[2:]
    fits = inputs.ndim == weight.ndim and inputs.shape[1] == weight.shape[1] * groups and not is_transposed
    settings = [values * len(kernel) if len(values) == 1 else values for values in (stride, padding, dilation)]
    if not fits:
        return None  # PyTorch raises the error
    out_sides = [
        math.floor((size + 2 * pad - spacing * (taps - 1) - 1) / step) + 1
        for size, taps, step, pad, spacing in zip(sides, kernel, *settings, strict=True)
    ]
    return inputs.new_empty(inputs.shape[0], weight.shape[0], *out_sides) if min(out_sides) > 0 else None


_SHAPE_RULES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **dict.fromkeys(
            [f"aten::{name}" for name in ("relu", "sigmoid", "tanh", "silu", "gelu", "hardtanh", "hardswish")],
            _elementwise,
        ),
        **dict.fromkeys(["aten::add.Tensor", "aten::sub.Tensor", "aten::mul.Tensor"], _broadcast),
        "aten::native_batch_norm": _batch_norm,
        "aten::mean.dim": _mean,
        "aten::addmm": _addmm,
        "aten::convolution": _convolution,
    }
)
"""Operation -> shape rule; the rule returns None where PyTorch must infer the shape."""
