"""Scattering: rules of operations that write one tensor into another at constant indices, and return the result.

They run the operation itself on the bounds, as those in `moves` do.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionlib.summary.operation import Operation, RuleResult, normalize_dim
from visionlib.summary.receptive_fields import INVARIANT, Dimension, ReceptiveFields, infer_dimensions, unite
from visionlib.summary.rules.moves import decode, encode, first_of, from_any_element, moving_dims


def scatter(op: Operation) -> RuleResult:
    """Overwrite elements of one tensor by those of another, or add to them, at constant indices."""
    target, source = op["self"], op.get("src", op.get("values"))
    argument = {"index_put": "indices", "scatter": "index", "scatter_add": "index", "scatter_reduce": "index"}.get(
        op.name
    )
    indices = [] if argument is None else op[argument] if isinstance(op[argument], list) else [op[argument]]
    given = [value for value in indices if value is not None]
    if any(op.constant(value) is None for value in given):
        return from_any_element(op, *(tensor for tensor in (target, source, *given) if isinstance(tensor, Tensor)))
    known = [op.fields(tensor) for tensor in (target, source) if isinstance(tensor, Tensor)]
    template = next(fields for fields in known if fields is not None)
    bounds = []
    for axis, bound in enumerate(template.bounds):
        operands = []
        for tensor in (target, source):
            fields, shape = op.fields(tensor), tensor.shape if isinstance(tensor, Tensor) else ()
            operands.append(torch.zeros(len(bound), *shape) if fields is None else encode(fields.bounds[axis], shape))
        bounds.append(decode(torch.stack([_scatter(op, *rows) for rows in zip(*operands, strict=True)])))
    return infer_dimensions(replace(template, bounds=tuple(bounds)), target.shape, _scattered_dims(op, source))


def _scattered_dims(op: Operation, source: Any) -> list[Dimension]:
    """The dimensions of a tensor into which another was written: they move as its own and as those of the other."""
    target: Tensor = op["self"]
    own = op.fields(target)
    possible = [INVARIANT] * target.ndim if own is None else list(own.dims)
    fields = op.fields(source)
    if fields is None:
        return possible
    written = list(fields.dims)
    if op.name == "select_scatter":
        dim = normalize_dim(op["dim"], target.ndim)
        # Steps that are written one by one: along them the fields move as the written ones do not.
        carried = unite(*written, *possible).axes
        written.insert(dim, Dimension(frozenset(range(len(fields.bounds))) - carried))
    elif op.name == "index_put":
        written = _written_dims(op, fields, target)
    return [unite(dimension, other) for dimension, other in zip(possible, written, strict=True)]


def _written_dims(op: Operation, fields: ReceptiveFields, target: Tensor) -> list[Dimension]:
    """The dimensions of the target of an `index_put`: each moves as the source dimension that its index follows."""
    taken = {
        dim: index
        for dim, value in enumerate(op["indices"])
        if value is not None and (index := op.constant(value)) is not None
    }
    shape = np.broadcast_shapes(*(index.shape for index in taken.values()))
    count = target.ndim - len(taken) + len(shape)
    source = [*[INVARIANT] * (count - fields.ndim), *fields.dims]
    first = first_of(taken)
    new, kept = source[first : first + len(shape)], source[:first] + source[first + len(shape) :]
    return [
        unite(INVARIANT, *(new[at] for at in moving_dims(taken[dim].expand(shape)))) if dim in taken else kept.pop(0)
        for dim in range(target.ndim)
    ]


def _scatter(op: Operation, target: Tensor, source: Tensor) -> Tensor:
    if op.name == "index_put":
        indices = tuple(None if value is None else op.constant(value) for value in op["indices"])
        if not op["accumulate"]:
            written: Tensor = torch.ops.aten.index_put(target, indices, source)
            return written
        numbers = torch.ops.aten.index(torch.arange(target.numel()).view(target.shape), indices)
        flat = source.expand(numbers.shape).flatten()
        # A sum sees the fields of all its terms: their maximum.
        return target.flatten().scatter_reduce(0, numbers.flatten(), flat, "amax").view(target.shape)
    if op.name.startswith("scatter"):
        constant = op.constant(op["index"])
        assert constant is not None
        source = source if source.ndim else source.expand(constant.shape)
        if op.name == "scatter" and op.get("reduce") is None:
            return target.scatter(op["dim"], constant, source)
        is_included = op.get("include_self", True)
        return target.scatter_reduce(op["dim"], constant, source, "amax", include_self=is_included)
    if op.name == "slice_scatter":
        return target.slice_scatter(source, op["dim"], op["start"], op["end"], op["step"])
    return target.select_scatter(source, op["dim"], op["index"])
