"""Indexing, patches and diagonals: rules that run the operation itself on the bounds.

An operation that only moves elements moves their bounds in the same way. An offset on all bounds distinguishes pixel 0
from the zeros that an operation fills in.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from visionlib.summary.operation import Operation, RuleResult, normalize_dim
from visionlib.summary.receptive_fields import (
    INVARIANT,
    NOTHING,
    Dimension,
    ReceptiveFields,
    infer_dimensions,
    join,
    unite,
)
from visionlib.summary.rules.shapes import reshape_fields
from visionlib.summary.windows import indexed, padded

_OFFSET = 2.0**20
"""Above any pixel index: bounds with this offset are positive, so that 0 can stand for `NOTHING`."""


def index(op: Operation) -> RuleResult:
    """Take elements by indices of several dimensions; masks have become indices before."""
    inputs, given = op["self"], [value for value in op["indices"] if value is not None]
    if op.fields(inputs) is None or any(op.constant(value) is None for value in given):
        return from_any_element(op, inputs, *given)
    indices = [None if value is None else op.constant(value) for value in op["indices"]]
    taken = tuple(slice(None) if index is None else index for index in indices)
    return _move(op, lambda bound: bound[taken], _indexed_dims(op.input_fields, indices))


def _indexed_dims(fields: ReceptiveFields, indices: Sequence[Tensor | None]) -> list[Dimension]:
    """The output dimensions of an indexing: those that are kept, and those of the index, which move as it moves."""
    taken = {dim: index for dim, index in enumerate(indices) if index is not None}
    shape = np.broadcast_shapes(*(index.shape for index in taken.values()))
    new = [INVARIANT] * len(shape)
    for dim, index in taken.items():
        for at in moving_dims(index.expand(shape)):
            new[at] = unite(new[at], Dimension(fields.dims[dim].axes))
    kept = [dimension for dim, dimension in enumerate(fields.dims) if dim not in taken]
    first = first_of(taken)
    return [*kept[:first], *new, *kept[first:]]


def moving_dims(index: Tensor) -> list[int]:
    """The dimensions along which an index changes."""
    return [dim for dim in range(index.ndim) if bool((index != index.narrow(dim, 0, 1)).any())]


def first_of(taken: Collection[int]) -> int:
    """Where the new dimensions of an indexing stand: at the indexed ones if those are neighbours, else in front."""
    return min(taken) if max(taken) - min(taken) == len(taken) - 1 else 0


def masked_select(op: Operation) -> RuleResult:
    """Take the elements in a mask, as a vector."""
    mask = op.constant(op["mask"])
    if op.fields(op["self"]) is None or mask is None:
        return from_any_element(op, op["self"], op["mask"])
    shape = np.broadcast_shapes(op["self"].shape, mask.shape)
    fields = op.input_fields.align(len(shape))
    mask = mask.cpu().expand(shape)
    kept = [mask.movedim(dim, 0).flatten(1).any(1).nonzero().flatten() for dim in range(len(shape))]
    if mask.sum() == math.prod(map(len, kept)):
        # Whole rows and columns: a selection along each dimension, whose dimensions are merged then.
        for dim, index in enumerate(kept):
            if not fields.is_invariant(dim) and len(index) < shape[dim]:
                fields = fields.apply_windows(dim, indexed(shape[dim], index))
                fields = fields.set_dimension(dim, replace(fields.dims[dim], periodicity=None))
        return reshape_fields(fields, [len(index) for index in kept], [int(mask.sum())])
    every = Dimension(frozenset[int]().union(*(dimension.axes for dimension in fields.dims)))
    return _move(op, lambda bound: bound.masked_select(mask), [every])


def gather(op: Operation) -> RuleResult:
    """Take elements along one dimension, each by its own index."""
    constant = op.constant(op["index"])
    if op.fields(op["self"]) is None or constant is None:
        return from_any_element(op, op["self"], op["index"])
    return _move(op, lambda bound: bound.gather(op["dim"], constant), dims_of_first(op))


def diagonal(op: Operation) -> RuleResult:
    """Take a diagonal."""
    dims, ndim = dims_of_first(op), op.first.ndim
    pair = [normalize_dim(op[name], ndim) for name in ("dim1", "dim2")]
    possible = [*(dims[dim] for dim in range(ndim) if dim not in pair), unite(*(dims[dim] for dim in pair))]
    return _move(op, lambda bound: bound.diagonal(op["offset"], op["dim1"], op["dim2"]), possible)


def triangle(op: Operation) -> RuleResult:
    """Keep the elements on one side of a diagonal."""
    keep = torch.tril if op.name == "tril" else torch.triu
    return _move(op, lambda bound: keep(bound, op["diagonal"]), dims_of_first(op))


def unfold(op: Operation) -> RuleResult:
    """Extract windows along one dimension, which go to a new last one."""
    dims = dims_of_first(op)
    dim, size, step = normalize_dim(op["dimension"], op.first.ndim), op["size"], op["step"]
    # Windows side by side only split the dimension. The elements of windows that overlap are channels of their window.
    taps = dims[dim] if step >= size else INVARIANT
    return _move(op, lambda bound: bound.unfold(dim, size, step), [*dims, taps])


def im2col(op: Operation) -> RuleResult:
    """Extract windows of two dimensions as columns, (n, c * taps, positions)."""
    inputs, fields = op["self"], op.input_fields
    shape = list(inputs.shape)
    for dim, width in zip((-2, -1), op["padding"], strict=True):
        # The padding by itself: without a border, the field continues there.
        fields = fields.apply_windows(dim % inputs.ndim, padded(shape[dim], width, width, "constant"))
        shape[dim] += 2 * width
    *batch, channels, rows, columns = dims_of_first(op)
    settings = op["kernel_size"], op["dilation"], 0, op["stride"]
    return _move_fields(
        fields, shape, lambda bound: F.unfold(bound, *settings), [*batch, channels, unite(rows, columns)]
    )


def col2im(op: Operation) -> RuleResult:
    """Sum columns at the positions of their windows."""
    kernel, settings = op["kernel_size"], (op["dilation"], op["padding"], op["stride"])
    taps = math.prod(kernel)

    def fold(bound: Tensor) -> Tensor:
        # Windows overlap, and the operation adds: fold each tap alone, and take the maximum in the place of the sum.
        columns: Tensor = bound.unflatten(-2, (-1, taps))  # type: ignore[no-untyped-call]
        folded = []
        for tap in range(taps):
            alone = torch.zeros_like(columns)
            alone[..., tap, :] = columns[..., tap, :]
            folded.append(F.fold(alone.flatten(-3, -2), op["output_size"], kernel, *settings))
        return torch.stack(folded).amax(0)

    *batch, channels, positions = dims_of_first(op)
    return _move(op, fold, [*batch, channels, positions, positions])


def from_any_element(op: Operation, source: Tensor, *others: Tensor) -> RuleResult:
    """Take elements at indices that depend on the image: any of the source, so that every output sees all of it.

    Of a constant table, an output sees only its own index, and shares its dimensions.
    """
    ndim = op.outputs[0].ndim
    if op.fields(source) is None and op.name in _LOOKUPS:
        known = [fields for tensor in others if (fields := op.fields(tensor)) is not None]
        return _looked_up(op, join(known, max(fields.ndim for fields in known)))
    merged = [
        fields.reduce(range(fields.ndim)) for tensor in (source, *others) if (fields := op.fields(tensor)) is not None
    ]
    scalars = [replace(fields, bounds=tuple(b.flatten(1)[:, 0] for b in fields.bounds), dims=()) for fields in merged]
    return join(scalars, ndim)


_LOOKUPS = frozenset({"index", "index_select", "gather"})


def _looked_up(op: Operation, fields: ReceptiveFields) -> ReceptiveFields:
    """Fields of an index, of its own shape, placed where its dimensions are in the output."""
    output = op.outputs[0]
    if op.name == "gather":
        return fields
    if op.name == "index_select":
        first, after = normalize_dim(op["dim"], op["self"].ndim), op["self"].ndim - 1
        after -= first
    else:
        taken = {dim: index.shape for dim, index in enumerate(op["indices"]) if index is not None}
        first, shape = first_of(taken), np.broadcast_shapes(*taken.values())
        fields = fields.align(len(shape))
        after = output.ndim - len(shape) - first
    for _ in range(after):
        fields = fields.insert(fields.ndim)
    return fields.align(output.ndim)


def dims_of_first(op: Operation) -> list[Dimension]:
    """The dimensions of the first argument."""
    return list(op.fields_by_id[id(op.first)].dims)


def _move(op: Operation, move: Callable[[Tensor], Tensor], possible: Sequence[Dimension]) -> ReceptiveFields:
    """Move the bounds of the first argument, row by row, as the operation moves its elements.

    Args:
        op: the operation.
        move: maps one row of the bounds, of the argument's shape, to one of the output's shape.
        possible: per dimension of the output, the axes along which its fields may move.
    """
    return _move_fields(op.fields_by_id[id(op.first)], op.first.shape, move, possible)


def _move_fields(
    fields: ReceptiveFields,
    shape: Sequence[int],
    move: Callable[[Tensor], Tensor],
    possible: Sequence[Dimension],
) -> ReceptiveFields:
    bounds = [decode(torch.stack([move(row) for row in encode(bound, shape)])) for bound in fields.bounds]
    return infer_dimensions(replace(fields, bounds=tuple(bounds)), bounds[0].shape[1:], possible)


def encode(bound: Tensor, shape: Sequence[int]) -> Tensor:
    """Add the offset, with 0 for `NOTHING`, and expand to the tensor's own shape."""
    return torch.where(bound == NOTHING, 0, bound + _OFFSET).expand(-1, *shape)


def decode(values: Tensor) -> Tensor:
    """Undo `encode`."""
    return torch.where(values == 0, NOTHING, values - _OFFSET)
