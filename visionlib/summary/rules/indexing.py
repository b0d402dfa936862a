"""Slicing, splitting, joining, flipping and rolling: rules that select whole slices along a dimension."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from visionlib.summary.operation import Operation, RuleResult, normalize_dim
from visionlib.summary.receptive_fields import ReceptiveFields, concatenate, infer_steps, join
from visionlib.summary.rules.alignment import note_alignment
from visionlib.summary.rules.moves import from_any_element
from visionlib.summary.rules.shapes import reshape_fields
from visionlib.summary.windows import indexed


def repeat(op: Operation) -> RuleResult:
    """Concatenate copies."""
    output = op.outputs[0]
    fields = op.input_fields.align(output.ndim)
    for dim, times in enumerate(op["repeats"]):
        size = output.shape[dim] // max(times, 1)
        if times != 1:
            fields = pick(fields, dim, size, [i % size for i in range(size * times)])
    return fields


def slice_(op: Operation) -> RuleResult:
    """Take every `step`-th element from `start` to `end`."""
    dim, n = _selected_dim(op)
    return pick(op.input_fields, dim, n, range(n)[slice(op["start"], op["end"], op["step"])], op["step"])


def select(op: Operation) -> RuleResult:
    """Take one element and drop its dimension."""
    dim, n = _selected_dim(op)
    return pick(op.input_fields, dim, n, [op["index"] % n]).drop(dim)


def split(op: Operation) -> RuleResult:
    """Split into consecutive pieces."""
    dim, n = _selected_dim(op)
    pieces, start = [], 0
    for output in op.outputs:
        size = output.shape[dim]
        pieces.append(pick(op.input_fields, dim, n, range(start, start + size), 1))
        start += size
    return pieces


def unbind(op: Operation) -> RuleResult:
    """Split into single elements, and drop their dimension."""
    dim, n = _selected_dim(op)
    return [pick(op.input_fields, dim, n, [i]).drop(dim) for i in range(n)]


def glu(op: Operation) -> RuleResult:
    """Multiply one half by a gate from the other."""
    dim, n = _selected_dim(op)
    halves = [pick(op.input_fields, dim, n, half, 1) for half in (range(n // 2), range(n // 2, n))]
    return join(halves, op["self"].ndim)


def cat(op: Operation) -> RuleResult:
    """Concatenate."""
    # For historical reasons, PyTorch lets empty vectors be concatenated with any tensor.
    tensors = [tensor for tensor in op["tensors"] if tensor.shape != (0,)]
    dim = normalize_dim(op["dim"], tensors[0].ndim)
    parts = [(op.fields(tensor), tensor.shape[dim]) for tensor in tensors]
    if all(fields is None for fields, _ in parts):
        return None
    note_alignment(op, tensors, joined_dim=dim)
    fields = concatenate(parts, dim).find_periodicities(op.outputs[0].shape)
    return infer_steps(fields, dim, op.outputs[0].shape) if all(size == 1 for _, size in parts) else fields


def stack(op: Operation) -> RuleResult:
    """Concatenate along a new dimension."""
    tensors = op["tensors"]
    dim = normalize_dim(op["dim"], tensors[0].ndim + 1)
    parts = [(None if (fields := op.fields(tensor)) is None else fields.insert(dim), 1) for tensor in tensors]
    return infer_steps(concatenate(parts, dim), dim, op.outputs[0].shape)


def flip(op: Operation) -> RuleResult:
    """Reverse the order along dimensions."""
    inputs, fields = op["self"], op.input_fields
    for dim in (normalize_dim(dim, inputs.ndim) for dim in op["dims"]):
        n = inputs.shape[dim]
        fields = pick(fields, dim, n, range(n - 1, -1, -1), -1)
    return fields


def roll(op: Operation) -> RuleResult:
    """Shift cyclically; on an image without border, shift."""
    inputs, fields = op["self"], op.input_fields
    if not op["dims"]:
        n = inputs.numel()
        flat = _roll(reshape_fields(fields, inputs.shape, [n]), 0, n, op["shifts"][0])
        return reshape_fields(flat, [n], inputs.shape)
    for shift, dim in zip(op["shifts"], op["dims"], strict=True):
        dim = normalize_dim(dim, inputs.ndim)
        fields = _roll(fields, dim, inputs.shape[dim], shift)
    return fields


def _roll(fields: ReceptiveFields, dim: int, n: int, shift: int) -> ReceptiveFields:
    windows = indexed(n, torch.arange(n) - shift, 1)
    return fields.apply_windows(dim, replace(windows, seen=windows.field % n))


def index_select(op: Operation) -> RuleResult:
    """Take elements by a list of indices."""
    dim, n = _selected_dim(op)
    fields, index = op.fields(op["self"]), op.constant(op["index"])
    if fields is None or index is None:
        return from_any_element(op, op["self"], op["index"])
    return pick(fields, dim, n, index.flatten().tolist())


def pick(fields: ReceptiveFields, dim: int, n: int, index: Sequence[int], step: int | None = None) -> ReceptiveFields:
    """Take elements along a dimension of size n; `step` if they are evenly spaced."""
    if fields.is_invariant(dim):
        return fields
    picked = fields.apply_windows(dim, indexed(n, list(index), step))
    if step is None and len(index) > 1:
        # Unevenly spaced: search the periodicity again. A single element keeps that of its dimension.
        shape = [len(index) if other == dim else 2 for other in range(picked.ndim)]
        picked = picked.set_dimension(dim, replace(picked.dims[dim], periodicity=None)).find_periodicities(shape)
    return picked


def _selected_dim(op: Operation) -> tuple[int, int]:
    """The dimension along which an operation selects, and the input's size along it."""
    dim = normalize_dim(op["dim"], op["self"].ndim)
    return dim, op["self"].shape[dim]
