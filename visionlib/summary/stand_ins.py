"""Shapes of the commonest operations, worked out here.

PyTorch works out any operation's shape on the meta device, and is asked for all others. But for some it goes by way of
its symbolic shapes, which take a second to import and a millisecond to ask.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor


def shape_result(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Give stand-ins for what an operation returns, without memory."""
    rule = _SHAPES.get(func.name())
    result = None if rule is None or kwargs else rule(*args)
    return func(*args, **kwargs) if result is None else result


def _same(inputs: Tensor, *_: Any) -> Tensor:
    # Not empty_like, which goes the long way, too.
    return torch.empty_strided(inputs.shape, inputs.stride(), dtype=inputs.dtype, device="meta")


def _broadcast(a: Tensor, b: Any, *_: Any) -> Tensor | None:
    if not isinstance(b, Tensor):
        return _same(a) if a.is_floating_point() else None
    if a.dtype != b.dtype:
        return None
    return _same(a) if a.shape == b.shape else a.new_empty(torch.broadcast_shapes(a.shape, b.shape))  # type: ignore[no-untyped-call]


def _batch_norm(inputs: Tensor, weight: Any, bias: Any, mean: Any, var: Any, is_training: bool, *_: Any) -> Any:
    return None if is_training else (_same(inputs), inputs.new_empty(0), inputs.new_empty(0))


def _mean(inputs: Tensor, dim: list[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dim:
        return None
    dims = {at % inputs.ndim for at in dim}
    kept = [1 if at in dims else size for at, size in enumerate(inputs.shape) if keepdim or at not in dims]
    return inputs.new_empty(kept)


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
        # On the meta device PyTorch takes it.
        raise RuntimeError(f"expected input to have {weight.shape[0]} channels, but got {inputs.shape[1]}")
    places, kernel = inputs.shape[2:], weight.shape[2:]
    fits = inputs.ndim == weight.ndim and inputs.shape[1] == weight.shape[1] * groups and not is_transposed
    settings = [values * len(kernel) if len(values) == 1 else values for values in (stride, padding, dilation)]
    if not fits:
        return None  # and PyTorch says what does not
    sides = [
        math.floor((size + 2 * pad - step * (taps - 1) - 1) / hop) + 1
        for size, taps, hop, pad, step in zip(places, kernel, *settings, strict=True)
    ]
    return inputs.new_empty(inputs.shape[0], weight.shape[0], *sides) if min(sides) > 0 else None


_SHAPES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **dict.fromkeys(
            [f"aten::{name}" for name in ("relu", "sigmoid", "tanh", "silu", "gelu", "hardtanh", "hardswish")], _same
        ),
        **dict.fromkeys(["aten::add.Tensor", "aten::sub.Tensor", "aten::mul.Tensor"], _broadcast),
        "aten::native_batch_norm": _batch_norm,
        "aten::mean.dim": _mean,
        "aten::addmm": _addmm,
        "aten::convolution": _convolution,
    }
)
"""Operation -> its shape; None where PyTorch is to be asked after all."""
