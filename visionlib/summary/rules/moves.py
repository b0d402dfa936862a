"""Indexing, patches, diagonals and scattering: rules that run the operation itself on the bounds.

An operation that only moves elements moves their bounds in the same way. An offset on all bounds distinguishes pixel 0
from the zeros that an operation fills in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from visionlib.summary.operation import Operation, RuleResult, normalize_dim
from visionlib.summary.receptive_fields import NOTHING, ReceptiveFields, infer_dimensions, join
from visionlib.summary.windows import padded

_OFFSET = 2.0**20
"""Above any pixel index: bounds with this offset are positive, so that 0 can stand for `NOTHING`."""


def index(op: Operation) -> RuleResult:
    """Take elements by indices of several dimensions."""
    inputs, indices = op["self"], op["indices"]
    given = [value for value in indices if value is not None]
    if op.fields(inputs) is None or any(op.constant(value) is None for value in given):
        return from_any_element(op, inputs, *given)
    constants = tuple(slice(None) if value is None else op.constant(value) for value in indices)
    return _move(op, lambda bound: bound[constants], _indexed_axes(op.input_fields, constants))


def _indexed_axes(fields: ReceptiveFields, indices: Sequence[slice | Tensor | None]) -> list[frozenset[int]]:
    """Axes of the output dimensions of an indexing."""
    indices = [part for index in indices for part in _as_integers(index)]
    indices += [slice(None)] * (fields.ndim - len(indices))
    taken = [dim for dim, index in enumerate(indices) if isinstance(index, Tensor)]
    shape = torch.broadcast_shapes(*(indices[dim].shape for dim in taken))
    new: list[frozenset[int]] = [frozenset()] * len(shape)
    for dim in taken:
        index = indices[dim].expand(shape)
        for at in range(len(shape)):
            if bool((index != index.narrow(at, 0, 1)).any()):
                new[at] |= fields.dims[dim].axes
    kept = [dimension.axes for dim, dimension in enumerate(fields.dims) if dim not in taken]
    # The new dimensions stand where the indexed ones were if those are neighbours, else in front.
    first = taken[0] if taken[-1] - taken[0] == len(taken) - 1 else 0
    return [*kept[:first], *new, *kept[first:]]


def _as_integers(index: slice | Tensor | None) -> Sequence[slice | Tensor | None]:
    """The integer indices that a mask stands for; any other index itself."""
    is_mask = isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
    return index.nonzero(as_tuple=True) if is_mask else [index]  # type: ignore[union-attr]


def masked_select(op: Operation) -> RuleResult:
    """Take the elements in a mask, as a vector."""
    mask = op.constant(op["mask"])
    if op.fields(op["self"]) is None or mask is None:
        return from_any_element(op, op["self"], op["mask"])
    every = frozenset[int]().union(*(dimension.axes for dimension in op.input_fields.dims))
    return _move(op, lambda bound: bound.masked_select(mask), [every])


def gather(op: Operation) -> RuleResult:
    """Take elements along one dimension, each by its own index."""
    constant = op.constant(op["index"])
    if op.fields(op["self"]) is None or constant is None:
        return from_any_element(op, op["self"], op["index"])
    return _move(op, lambda bound: bound.gather(op["dim"], constant), _axes(op))


def diagonal(op: Operation) -> RuleResult:
    """Take a diagonal."""
    axes, ndim = _axes(op), op.first.ndim
    pair = [normalize_dim(op[name], ndim) for name in ("dim1", "dim2")]
    possible = [*(axes[dim] for dim in range(ndim) if dim not in pair), axes[pair[0]] | axes[pair[1]]]
    return _move(op, lambda bound: bound.diagonal(op["offset"], op["dim1"], op["dim2"]), possible)


def triangle(op: Operation) -> RuleResult:
    """Keep the elements on one side of a diagonal."""
    keep = torch.tril if op.name == "tril" else torch.triu
    return _move(op, lambda bound: keep(bound, op["diagonal"]), _axes(op))


def unfold(op: Operation) -> RuleResult:
    """Extract windows along one dimension, which go to a new last one."""
    axes = _axes(op)
    dim, size, step = normalize_dim(op["dimension"], op.first.ndim), op["size"], op["step"]
    # Windows side by side only split the dimension. The elements of windows that overlap are channels of their window.
    taps = axes[dim] if step >= size else frozenset[int]()
    return _move(op, lambda bound: bound.unfold(dim, size, step), [*axes, taps])


def im2col(op: Operation) -> RuleResult:
    """Extract windows of two dimensions as columns, (n, c * taps, positions)."""
    inputs, fields = op["self"], op.input_fields
    shape = list(inputs.shape)
    for dim, width in zip((-2, -1), op["padding"], strict=True):
        # The padding by itself: without a border, the field continues there.
        fields = fields.apply_windows(dim % inputs.ndim, padded(shape[dim], width, width, "constant"))
        shape[dim] += 2 * width
    *batch, channels, rows, columns = _axes(op)
    settings = op["kernel_size"], op["dilation"], 0, op["stride"]
    return _move_fields(fields, shape, lambda bound: F.unfold(bound, *settings), [*batch, channels, rows | columns])


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

    *batch, channels, positions = _axes(op)
    return _move(op, fold, [*batch, channels, positions, positions])


def scatter(op: Operation) -> RuleResult:
    """Overwrite elements of one tensor by those of another, at constant indices."""
    target, source = op["self"], op.get("src", op.get("values"))
    argument = {"index_put": "indices", "scatter": "index"}.get(op.name)
    indices = [] if argument is None else op[argument] if isinstance(op[argument], list) else [op[argument]]
    given = [value for value in indices if value is not None]
    if any(op.constant(value) is None for value in given) or op.get("accumulate") or op.get("reduce") is not None:
        return from_any_element(op, *(tensor for tensor in (target, source, *given) if isinstance(tensor, Tensor)))
    known = [op.fields(tensor) for tensor in (target, source) if isinstance(tensor, Tensor)]
    template = next(fields for fields in known if fields is not None)
    bounds = []
    for axis, bound in enumerate(template.bounds):
        operands = []
        for tensor in (target, source):
            fields, shape = op.fields(tensor), tensor.shape if isinstance(tensor, Tensor) else ()
            operands.append(torch.zeros(len(bound), *shape) if fields is None else _encode(fields.bounds[axis], shape))
        bounds.append(_decode(torch.stack([_scatter(op, *rows) for rows in zip(*operands, strict=True)])))
    return infer_dimensions(replace(template, bounds=tuple(bounds)), target.shape, _scattered_axes(op, source))


def _scattered_axes(op: Operation, source: Any) -> list[frozenset[int]]:
    """Axes of the dimensions of a tensor into which another was written: its own and those of the other."""
    target: Tensor = op["self"]
    possible = _axes(op) if op.fields(target) is not None else [frozenset[int]()] * target.ndim
    fields = op.fields(source)
    if fields is None:
        return possible
    written = [dimension.axes for dimension in fields.dims]
    if op.name == "select_scatter":
        dim = normalize_dim(op["dim"], target.ndim)
        # Steps that are written one by one: along them the fields move as the written ones do not.
        others = frozenset(range(len(fields.bounds))).difference(*written, *possible)
        written.insert(dim, others)
    elif op.name == "index_put":
        written = _written_axes(op, fields, target)
    return [own | other for own, other in zip(possible, written, strict=True)]


def _written_axes(op: Operation, fields: ReceptiveFields, target: Tensor) -> list[frozenset[int]]:
    """Axes along the dimensions of the target of an `index_put`: those of the source dimension that an index follows."""
    indices = [part for index in op["indices"] for part in _as_integers(index if index is None else op.constant(index))]
    indices += [None] * (target.ndim - len(indices))
    taken = [dim for dim, index in enumerate(indices) if index is not None]
    shape = torch.broadcast_shapes(*(indices[dim].shape for dim in taken))
    count = target.ndim - len(taken) + len(shape)
    source = [frozenset[int]()] * (count - fields.ndim) + [dimension.axes for dimension in fields.dims]
    first = taken[0] if taken[-1] - taken[0] == len(taken) - 1 else 0
    new, kept = source[first : first + len(shape)], source[:first] + source[first + len(shape) :]
    written: list[frozenset[int]] = []
    for dim, index in enumerate(indices):
        if index is None:
            written.append(kept.pop(0))
            continue
        index = index.expand(shape)
        moving = [at for at in range(len(shape)) if bool((index != index.narrow(at, 0, 1)).any())]
        written.append(frozenset[int]().union(*(new[at] for at in moving)))
    return written


def _scatter(op: Operation, target: Tensor, source: Tensor) -> Tensor:
    if op.name == "index_put":
        indices = tuple(None if value is None else op.constant(value) for value in op["indices"])
        written: Tensor = torch.ops.aten.index_put(target, indices, source)
        return written
    if op.name == "scatter":
        constant = op.constant(op["index"])
        assert constant is not None
        return target.scatter(op["dim"], constant, source if source.ndim else source.expand(constant.shape))
    if op.name == "slice_scatter":
        return target.slice_scatter(source, op["dim"], op["start"], op["end"], op["step"])
    return target.select_scatter(source, op["dim"], op["index"])


def from_any_element(op: Operation, *tensors: Tensor) -> RuleResult:
    """Indices that depend on the image may select any element: every output sees all of the source and the indices."""
    merged = [fields.reduce(range(fields.ndim)) for tensor in tensors if (fields := op.fields(tensor)) is not None]
    scalars = [replace(fields, bounds=tuple(b.flatten(1)[:, 0] for b in fields.bounds), dims=()) for fields in merged]
    return join(scalars, op.outputs[0].ndim)


def _axes(op: Operation) -> list[frozenset[int]]:
    """Axes of the dimensions of the first argument."""
    return [dimension.axes for dimension in op.fields_by_id[id(op.first)].dims]


def _move(op: Operation, move: Callable[[Tensor], Tensor], possible: Sequence[frozenset[int]]) -> ReceptiveFields:
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
    possible: Sequence[frozenset[int]],
) -> ReceptiveFields:
    bounds = [_decode(torch.stack([move(row) for row in _encode(bound, shape)])) for bound in fields.bounds]
    return infer_dimensions(replace(fields, bounds=tuple(bounds)), bounds[0].shape[1:], possible)


def _encode(bound: Tensor, shape: Sequence[int]) -> Tensor:
    """Add the offset, with 0 for `NOTHING`, and expand to the tensor's own shape."""
    return torch.where(bound == NOTHING, 0, bound + _OFFSET).expand(-1, *shape)


def _decode(values: Tensor) -> Tensor:
    return torch.where(values == 0, NOTHING, values - _OFFSET)
