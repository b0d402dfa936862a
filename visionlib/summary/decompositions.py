"""Operations that are traced as others with the same result, because they have no rule, or no shape without values."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def find_decomposition(func: Any) -> Callable[..., Any] | None:
    """A function of the same arguments and results as an operation; None if it is traced as it is."""
    name: str = func._schema.name
    if name.startswith("aten::_foreach_"):
        return partial(_for_each, getattr(torch.ops.aten, name.removeprefix("aten::_foreach_")))
    return _DECOMPOSITIONS.get(name)


def _block_diag(tensors: Sequence[Tensor]) -> Tensor:
    blocks = [tensor if tensor.ndim == 2 else tensor.reshape(1, -1) for tensor in tensors]
    width, before, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        rows.append(F.pad(block, (before, width - before - block.shape[1])))
        before += block.shape[1]
    return torch.cat(rows)


def _for_each(operation: Any, tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
    """Apply an operation to every tensor of a list, with its own element of the other lists."""
    results = [
        operation(tensor, *(arg[at] if isinstance(arg, list | tuple) else arg for arg in args), **kwargs)
        for at, tensor in enumerate(tensors)
    ]
    return None if operation.__name__.endswith("_") else results


def _pack_padded_sequence(inputs: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Pack the numbers of the steps, which have values, and take the steps by them."""
    steps = torch.arange(inputs.shape[0] * inputs.shape[1]).view(*inputs.shape[:2], 1)
    packed, batch_sizes = torch.ops.aten._pack_padded_sequence(steps, lengths, batch_first)
    return inputs.flatten(0, 1).index_select(0, packed.flatten()), batch_sizes


def _quantized_linear(inputs: Tensor, packed: Any, *_: Any) -> Tensor:
    weight, bias = torch.ops.quantized.linear_unpack(packed)
    return F.linear(inputs, weight.dequantize(), bias)


def _quantized_linear_fp16(inputs: Tensor, packed: Any, *_: Any) -> Tensor:
    return F.linear(inputs, *torch.ops.quantized.linear_unpack_fp16(packed))


def _rectified(linear: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args: F.relu(linear(*args))


_DECOMPOSITIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "aten::block_diag": _block_diag,
        "aten::_pack_padded_sequence": _pack_padded_sequence,
        "quantized::linear_dynamic": _quantized_linear,
        "quantized::linear_relu_dynamic": _rectified(_quantized_linear),
        "quantized::linear_dynamic_fp16": _quantized_linear_fp16,
        "quantized::linear_relu_dynamic_fp16": _rectified(_quantized_linear_fp16),
    }
)
"""Operation -> function."""
