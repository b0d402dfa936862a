"""Sums, means, maxima, softmax, sorting, norms and products: what brings entries together."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, Outcome, positive
from visionlib.summary.reach import NOTHING, Along, Reach, join
from visionlib.summary.rules.masks import is_minus_infinity
from visionlib.summary.rules.pointwise import hide
from visionlib.summary.rules.shapes import found
from visionlib.summary.rules.windows import mix_channels


def reduction(op: Operation) -> Outcome:
    """Bring the entries of some dimensions together: a sum, a mean, a maximum, a variance."""
    inputs = op.first
    reach = op.reach(inputs)
    if reach is None:
        return None
    dims = _dims(op, inputs)
    reduced = reach.reduce(dims)
    results = []
    for output in op.outputs:
        shape = [1 if dim in dims else size for dim, size in enumerate(inputs.shape)]
        results.append(reduced if output.ndim == inputs.ndim else _drop_all(reduced, dims) if shape else reduced)
    return results


def _dims(op: Operation, inputs: Tensor) -> list[int]:
    told = op.get("dim")
    if told is None or (isinstance(told, list | tuple) and not told):
        return list(range(inputs.ndim))
    return [positive(dim, inputs.ndim) for dim in ([told] if isinstance(told, int) else told)]


def _drop_all(reach: Reach, dims: Sequence[int]) -> Reach:
    for dim in sorted(dims, reverse=True):
        reach = reach.drop(dim)
    return reach


def along(op: Operation) -> Outcome:
    """Every entry depends on all along one dimension: softmax, sorting, the largest few."""
    inputs = op.first
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op.get("dim", -1), inputs.ndim)
    return reach.reduce([dim])


def cumulative(op: Operation) -> Outcome:
    """Every entry depends on itself and those before it."""
    inputs = op.first
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    planes = tuple(torch.cummax(plane, dim + 1).values for plane in reach.planes)
    dims = list(reach.dims)
    dims[dim] = Along(dims[dim].axes)
    return replace(reach, planes=planes, dims=tuple(dims))


def product(op: Operation) -> Outcome:
    """Multiply matrices, alone or in batches, and perhaps add something: rows and columns are seen whole."""
    names = ("mat1", "mat2") if "mat1" in op.values else ("batch1", "batch2") if "batch1" in op.values else None
    left, right = (op[name] for name in names) if names else (op["self"], op["mat2"])
    ndim = op.outputs[0].ndim
    parts = []
    if (reach := op.reach(left)) is not None:
        parts.append(reach.reduce([left.ndim - 1]))
    if (reach := op.reach(right)) is not None:
        blanks = op.blank(left)
        parts.append(reach.reduce([right.ndim - 2]) if blanks is None else _attended(reach, blanks, right))
    if names and (reach := op.reach(op["self"])) is not None:
        parts.append(reach)
    joined = join(parts, ndim) if parts else None
    if joined is not None and names and (is_hidden := is_minus_infinity(op, "self")) is not None:
        joined = hide(joined, is_hidden)
    return joined


def _attended(reach: Reach, blanks: Tensor, right: Tensor) -> Reach:
    """See of the rows of a matrix those that have a weight other than zero: (..., i, k) blanks of (..., k, m)."""
    whole = reach.reduce([right.ndim - 2])
    rows = reach.expand_dim(right.ndim - 2, right.shape[-2])
    planes = tuple(torch.where(blanks[..., None], NOTHING, plane.unsqueeze(-3)).amax(-2) for plane in rows.planes)
    seen = found(replace(whole, planes=planes), (*right.shape[:-2], blanks.shape[-2], right.shape[-1]))
    return replace(seen, global_axes=whole.global_axes)


def vector_product(op: Operation) -> Outcome:
    """Multiply a matrix by a vector, or two vectors."""
    tensors = op.seeing()
    ndim = op.outputs[0].ndim
    parts = []
    for tensor in tensors:
        reach = op.reach(tensor)
        assert reach is not None
        reach = reach.reduce([tensor.ndim - 1]).drop(tensor.ndim - 1)
        parts.append(reach)
    return join(parts, ndim) if parts else None


def batch_norm(op: Operation) -> Outcome:
    """Scale channel by channel; with the statistics of the batch itself, strictly by all that the batch shows."""
    if op.get("training") or op.get("use_input_stats") or "running_mean" not in op.values or op["running_mean"] is None:
        op.note("normalized", "by the mean and deviation of its own input")
    return _first_of(op, op.reach(op["input"]))


def group_norm(op: Operation) -> Outcome:
    """Scale by what the channels of a group show, strictly at all places."""
    reach = op.reach(op["input"])
    if reach is None:
        return None
    op.note("normalized", "by the mean and deviation of its own input")
    inputs = op["input"]
    return _first_of(op, mix_channels(reach, 1, inputs.shape[1], op["group"], inputs.shape[1]))


def layer_norm(op: Operation) -> Outcome:
    """Scale by what the last dimensions show together."""
    inputs = op["input"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    last = range(inputs.ndim - len(op["normalized_shape"]), inputs.ndim)
    places = [dim for dim in last if reach.dims[dim].axes]
    if places:
        op.note("normalized", "by the mean and deviation of its own input")
    return _first_of(op, reach.reduce([dim for dim in last if dim not in places]))


def _first_of(op: Operation, reach: Reach | None) -> Outcome:
    """The normalised tensor; the statistics that some kernels return beside it are of no further use."""
    return [reach, *(None if reach is None else _whole(reach, output) for output in op.outputs[1:])]


def _whole(reach: Reach, output: Tensor) -> Reach:
    whole = reach.reduce(range(reach.ndim))
    planes = tuple(plane.flatten(1)[:, :1].reshape(-1, *[1] * output.ndim) for plane in whole.planes)
    return replace(whole, planes=planes, dims=(Along(),) * output.ndim)


def attention(op: Operation) -> Outcome:
    """Attend: every query sees all keys and values."""
    query, key, value = op["query"], op["key"], op["value"]
    parts = []
    if (reach := op.reach(query)) is not None:
        parts.append(reach.reduce([query.ndim - 1]))
    if (reach := op.reach(key)) is not None:
        parts.append(reach.reduce([key.ndim - 2, key.ndim - 1]))
    if (reach := op.reach(value)) is not None:
        parts.append(reach.reduce([value.ndim - 2]))
    joined = join(parts, op.outputs[0].ndim) if parts else None
    return [joined, *(None if joined is None else _whole(joined, output) for output in op.outputs[1:])]


def everything(op: Operation) -> Outcome:
    """Every output depends on every input: what samples at places that the image decides."""
    parts = []
    for tensor in op.seeing():
        reach = op.reach(tensor)
        assert reach is not None
        parts.append(_whole(reach, op.outputs[0]))
    return join(parts, op.outputs[0].ndim) if parts else None


def fourier(op: Operation) -> Outcome:
    """Transform: every entry depends on all along the dimensions that are transformed."""
    inputs = op["self"]
    reach = op.reach(inputs)
    return None if reach is None else reach.reduce([positive(dim, inputs.ndim) for dim in op["dim"]])
