"""Indexing, patches, diagonals and scattering: rules that run the operation itself on the bounds.

An operation that only moves elements moves their bounds in the same way. An offset on all bounds distinguishes pixel 0
from the zeros that an operation fills in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import NOTHING, ReceptiveFields, infer_dimensions, join

_OFFSET = 2.0**20
"""Above any pixel index: bounds with this offset are positive, so that 0 can stand for `NOTHING`."""


def index(op: Operation) -> RuleResult:
    """Take elements by indices of several dimensions."""
    inputs, indices = op["self"], op["indices"]
    given = [value for value in indices if value is not None]
    if op.fields(inputs) is None or any(op.constant(value) is None for value in given):
        return from_any_element(op, inputs, *given)
    constants = tuple(slice(None) if value is None else op.constant(value) for value in indices)
    return _move(op, lambda bound: bound[constants])


def gather(op: Operation) -> RuleResult:
    """Take elements along one dimension, each by its own index."""
    constant = op.constant(op["index"])
    if op.fields(op["self"]) is None or constant is None:
        return from_any_element(op, op["self"], op["index"])
    return _move(op, lambda bound: bound.gather(op["dim"], constant))


def diagonal(op: Operation) -> RuleResult:
    """Take a diagonal."""
    return _move(op, lambda bound: bound.diagonal(op["offset"], op["dim1"], op["dim2"]))


def triangle(op: Operation) -> RuleResult:
    """Keep the elements on one side of a diagonal."""
    keep = torch.tril if op.name == "tril" else torch.triu
    return _move(op, lambda bound: keep(bound, op["diagonal"]))


def unfold(op: Operation) -> RuleResult:
    """Extract windows along one dimension."""
    return _move(op, lambda bound: bound.unfold(op["dimension"], op["size"], op["step"]))


def im2col(op: Operation) -> RuleResult:
    """Extract windows of two dimensions as columns."""
    settings = op["kernel_size"], op["dilation"], op["padding"], op["stride"]
    return _move(op, lambda bound: F.unfold(bound, *settings))


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

    return _move(op, fold)


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
    return infer_dimensions(replace(template, bounds=tuple(bounds)), target.shape)


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


def _move(op: Operation, move: Callable[[Tensor], Tensor]) -> ReceptiveFields:
    """Move the bounds of the first argument, row by row, as the operation moves its elements."""
    inputs = op.first
    fields = op.fields_by_id[id(inputs)]
    bounds = [_decode(torch.stack([move(row) for row in _encode(bound, inputs.shape)])) for bound in fields.bounds]
    return infer_dimensions(replace(fields, bounds=tuple(bounds)), bounds[0].shape[1:])


def _encode(bound: Tensor, shape: Sequence[int]) -> Tensor:
    """Add the offset, with 0 for `NOTHING`, and expand to the tensor's own shape."""
    return torch.where(bound == NOTHING, 0, bound + _OFFSET).expand(-1, *shape)


def _decode(values: Tensor) -> Tensor:
    return torch.where(values == 0, NOTHING, values - _OFFSET)
