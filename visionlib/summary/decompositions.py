"""Operations that are traced as others with the same result, because they have no rule, or no shape without values."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch._decomp import global_decomposition_table
from torch.nn import functional as F

from visionlib.summary.aten_calls import plain_name
from visionlib.summary.rules.table import RULES

_OPAQUE = frozenset({"max_unpool2d", "max_unpool3d", "as_strided_scatter"})
"""Their decompositions work on memory by indices, which hides the positions that they read."""


@cache
def find_decomposition(func: Any) -> Callable[..., Any] | None:
    """A function of the same arguments and results as an operation; None if it is traced as it is."""
    name: str = func._schema.name
    if name.startswith("aten::_foreach_"):
        return partial(_for_each, getattr(torch.ops.aten, name.removeprefix("aten::_foreach_")))
    if name in _DECOMPOSITIONS or plain_name(func) in RULES or torch.Tag.pointwise in func.tags:
        return _DECOMPOSITIONS.get(name)
    if is_composite(func):
        return func.decompose  # type: ignore[no-any-return]
    return None if plain_name(func) in _OPAQUE else global_decomposition_table["post_autograd"].get(func)


@cache
def is_composite(func: Any) -> bool:
    """Whether PyTorch itself has a decomposition; it uses it before an operation arrives here, but not always."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


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


def _linspace(start: Any, end: Any, steps: int, **settings: Any) -> Tensor:
    settings = {key: value for key, value in settings.items() if key == "dtype"}
    values: Tensor = torch.linspace(0, 1, steps, **settings) * (end - start) + start
    return values


def _pack_padded_sequence(inputs: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Pack the numbers of the steps, which have values, and take the steps by them."""
    steps = torch.arange(inputs.shape[0] * inputs.shape[1]).view(*inputs.shape[:2], 1)
    packed, batch_sizes = torch.ops.aten._pack_padded_sequence(steps, torch.tensor(lengths.tolist()), batch_first)
    return inputs.flatten(0, 1).index_select(0, packed.flatten()), batch_sizes


def _quantized_linear(inputs: Tensor, packed: Any, *_: Any) -> Tensor:
    weight, bias = torch.ops.quantized.linear_unpack(packed)
    return F.linear(inputs, weight.dequantize(), bias)


def _quantized_linear_fp16(inputs: Tensor, packed: Any, *_: Any) -> Tensor:
    return F.linear(inputs, *torch.ops.quantized.linear_unpack_fp16(packed))


def _quantized_recurrent(name: str) -> Callable[..., Any]:
    """Make the function of a quantized LSTM or GRU: one object holds the packed weights and biases of each cell."""

    def run(inputs: Tensor, *args: Any, **_: Any) -> Any:
        operation = getattr(torch.ops.aten, name)
        overload = (
            operation.data if isinstance(args[0], Tensor) and not args[0].is_floating_point() else operation.input
        )
        at = next(i for i, arg in enumerate(args) if isinstance(arg, list) and isinstance(arg[0], torch.ScriptObject))
        weights = [weight for cell in args[at] for weight in _unpack_cell(cell)]
        return overload(inputs, *args[:at], weights, *args[at + 1 :])

    return run


def _unpack_cell(cell: Any) -> list[Tensor]:
    """Weights and biases of the input and the hidden state."""
    packed = cell.__getstate__()[0][4]
    (weight_ih, bias_ih), (weight_hh, bias_hh) = (linear.__getstate__()[0][:2] for linear in packed)
    return [weight_ih.dequantize(), weight_hh.dequantize(), bias_ih, bias_hh]


def _quantized_cell(operation: Any) -> Callable[..., Any]:
    """Make the function of one step of a quantized recurrent layer."""

    def run(inputs: Tensor, hidden: Any, packed_ih: Any, packed_hh: Any, *biases: Any) -> Any:
        weights = [torch.ops.quantized.linear_unpack(packed)[0].dequantize() for packed in (packed_ih, packed_hh)]
        return operation(inputs, hidden, *weights, *biases)

    return run


def _rectified(linear: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args: F.relu(linear(*args))


_DECOMPOSITIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "aten::_sparse_addmm": lambda inputs, left, right, **scales: torch.addmm(
            inputs, left.to_dense(), right, **scales
        ),
        "aten::block_diag": _block_diag,
        "aten::linspace": _linspace,
        "aten::_pack_padded_sequence": _pack_padded_sequence,
        "quantized::linear_dynamic": _quantized_linear,
        "quantized::linear_relu_dynamic": _rectified(_quantized_linear),
        "quantized::linear_dynamic_fp16": _quantized_linear_fp16,
        "quantized::linear_relu_dynamic_fp16": _rectified(_quantized_linear_fp16),
        "aten::quantized_lstm": _quantized_recurrent("lstm"),
        "aten::quantized_gru": _quantized_recurrent("gru"),
        "quantized::quantized_lstm_cell_dynamic": _quantized_cell(torch.lstm_cell),
        "quantized::quantized_gru_cell_dynamic": _quantized_cell(torch.gru_cell),
        "quantized::quantized_rnn_tanh_cell_dynamic": _quantized_cell(torch.rnn_tanh_cell),
        "quantized::quantized_rnn_relu_cell_dynamic": _quantized_cell(torch.rnn_relu_cell),
    }
)
"""Operation -> function."""
