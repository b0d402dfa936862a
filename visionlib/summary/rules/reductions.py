"""Sums, maxima, softmax, sorting, normalization and products: rules that merge the fields of several elements."""

from dataclasses import replace

import torch
from torch import Tensor

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
from visionlib.summary.rules.masks import is_minus_infinity
from visionlib.summary.rules.pointwise import mask_out
from visionlib.summary.rules.spatial import mix_channels

_NORMALIZED = "by the mean and std of its own input"


def reduction(op: Operation) -> RuleResult:
    """Reduce dimensions: a sum, a mean, a maximum, a variance."""
    inputs = op.first
    dims = _reduced_dims(op, inputs.ndim)
    reduced = op.input_fields.reduce(dims)
    dropped = reduced
    for dim in sorted(dims, reverse=True):
        dropped = dropped.drop(dim)
    return [reduced if output.ndim == inputs.ndim else dropped for output in op.outputs]


def _reduced_dims(op: Operation, ndim: int) -> list[int]:
    dims = op.get("dim")
    if isinstance(dims, int):
        return [normalize_dim(dims, ndim)]
    return [normalize_dim(dim, ndim) for dim in dims or range(ndim)]


def mix_dimension(op: Operation) -> RuleResult:
    """Let every element depend on all along one dimension: softmax, sort, topk."""
    return op.input_fields.reduce([normalize_dim(op.get("dim", -1), op.first.ndim)])


def cumulative(op: Operation) -> RuleResult:
    """Let every element depend on itself and those before it."""
    fields, dim = op.input_fields, normalize_dim(op["dim"], op.first.ndim)
    bounds = tuple(torch.cummax(bound, dim + 1).values for bound in fields.bounds)
    return replace(fields, bounds=bounds).set_dimension(dim, Dimension(fields.dims[dim].axes))


def matrix_product(op: Operation) -> RuleResult:
    """Multiply matrices, in batches or not, with or without an addend: every output sees a row and a column."""
    names = ("mat1", "mat2") if "mat1" in op.values else ("batch1", "batch2") if "batch1" in op.values else None
    left, right = (op[name] for name in names) if names else (op["self"], op["mat2"])
    ndim = op.outputs[0].ndim
    parts = []
    if (fields := op.fields(left)) is not None:
        parts.append(fields.reduce([left.ndim - 1]))
    if (fields := op.fields(right)) is not None:
        positions = INVARIANT if (weights := op.fields(left)) is None else weights.dims[-2]
        parts.append(_weighted_rows(fields, op.masked_elements(left), right, positions))
    if names and (fields := op.fields(op["self"])) is not None:
        parts.append(fields)
    joined = join(parts, ndim)
    is_infinite = is_minus_infinity(op, "self") if names else None
    return joined if is_infinite is None else mask_out(joined, is_infinite)


def _weighted_rows(
    fields: ReceptiveFields, masked: Tensor | None, right: Tensor, positions: Dimension
) -> ReceptiveFields:
    """Merge only the rows of a matrix (..., k, m) with a weight other than zero.

    Args:
        fields: of the matrix.
        masked: (..., i, k), the weights that are zero; None if none is.
        right: the matrix.
        positions: dimension i of the weights.
    """
    merged = fields.reduce([right.ndim - 2])
    if masked is None:
        return merged
    rows = fields.expand_dim(right.ndim - 2, right.shape[-2])
    bounds = tuple(torch.where(masked[..., None], NOTHING, bound.unsqueeze(-3)).amax(-2) for bound in rows.bounds)
    *batch, summed, columns = fields.dims
    shape = (*right.shape[:-2], masked.shape[-2], right.shape[-1])
    seen = infer_dimensions(replace(merged, bounds=bounds), shape, [*batch, unite(positions, summed), columns])
    return replace(seen, global_axes=merged.global_axes)


def distances(op: Operation) -> RuleResult:
    """Distances between all rows of two matrices (..., i, k) and (..., j, k), of shape (..., i, j)."""
    first, second = op["x1"], op["x2"]
    parts = []
    if (fields := op.fields(first)) is not None:
        parts.append(fields.reduce([first.ndim - 1]))
    if (fields := op.fields(second)) is not None:
        order = [*range(second.ndim - 2), second.ndim - 1, second.ndim - 2]
        parts.append(fields.reduce([second.ndim - 1]).permute(order))
    return join(parts, op.outputs[0].ndim)


def vector_product(op: Operation) -> RuleResult:
    """Multiply a matrix by a vector, or two vectors."""
    parts = [fields.reduce([fields.ndim - 1]).drop(fields.ndim - 1) for fields in op.dependences()]
    return join(parts, op.outputs[0].ndim)


def batch_norm(op: Operation) -> RuleResult:
    """Normalize per channel: elementwise by running statistics, and with a note by those of the batch itself."""
    if op.get("training") or op.get("use_input_stats") or "running_mean" not in op.values or op["running_mean"] is None:
        op.note("normalized", _NORMALIZED)
    return _with_statistics(op, op.fields(op["input"]))


def group_norm(op: Operation) -> RuleResult:
    """Normalize per group of channels: the channels are mixed, and a note says that positions are, too."""
    fields = op.fields(op["input"])
    if fields is None:
        return None
    op.note("normalized", _NORMALIZED)
    inputs = op["input"]
    return _with_statistics(op, mix_channels(fields, 1, inputs.shape[1], op["group"], inputs.shape[1]))


def layer_norm(op: Operation) -> RuleResult:
    """Normalize over the last dimensions: those along the image count elementwise, with a note."""
    inputs = op["input"]
    fields = op.fields(inputs)
    if fields is None:
        return None
    last = range(inputs.ndim - len(op["normalized_shape"]), inputs.ndim)
    positions = [dim for dim in last if fields.dims[dim].axes]
    if positions:
        op.note("normalized", _NORMALIZED)
    return _with_statistics(op, fields.reduce([dim for dim in last if dim not in positions]))


def _with_statistics(op: Operation, fields: ReceptiveFields | None) -> RuleResult:
    """Fields of the normalized output, and of the statistics that some kernels return with it."""
    return [fields, *(None if fields is None else _merge_all(fields, output) for output in op.outputs[1:])]


def _merge_all(fields: ReceptiveFields, output: Tensor) -> ReceptiveFields:
    """Let every element of an output see all that the input sees."""
    merged = fields.reduce(range(fields.ndim))
    bounds = tuple(bound.flatten(1)[:, :1].reshape(-1, *[1] * output.ndim) for bound in merged.bounds)
    return replace(merged, bounds=bounds, dims=(INVARIANT,) * output.ndim)


def attention(op: Operation) -> RuleResult:
    """Scaled dot-product attention: every query sees all keys and values that no mask hides."""
    query, key, value = op["query"], op["key"], op["value"]
    mask = op.get("attn_mask", op.get("attn_bias"))
    masked = _hidden_keys(op, mask)
    positions = INVARIANT if (fields := op.fields(query)) is None else fields.dims[-2]
    parts = [] if fields is None else [fields.reduce([query.ndim - 1])]
    if (fields := op.fields(key)) is not None:
        parts.append(_weighted_rows(fields.reduce([key.ndim - 1]), masked, key, positions))
    if (fields := op.fields(value)) is not None:
        parts.append(_weighted_rows(fields, masked, value, positions))
    if (fields := op.fields(mask)) is not None:
        parts.append(fields.reduce([mask.ndim - 1]))
    joined = join(parts, op.outputs[0].ndim) if parts else None
    return [joined, *(None if joined is None else _merge_all(joined, output) for output in op.outputs[1:])]


def _hidden_keys(op: Operation, mask: Tensor | None) -> Tensor | None:
    """Which keys no query sees for any image, of shape (..., queries, keys); None if there are none."""
    queries, keys = op["query"].shape[-2], op["key"].shape[-2]
    hidden = torch.zeros(queries, keys, dtype=torch.bool)
    if op.get("is_causal"):
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1)
    if (constant := op.constant(mask)) is not None:
        hidden = hidden | (~constant if constant.dtype == torch.bool else constant.isneginf()).cpu()
    return hidden if bool(hidden.any()) else None


def depend_on_all(op: Operation) -> RuleResult:
    """Let every output depend on every input, as in sampling at positions that depend on the image."""
    return join([_merge_all(fields, op.outputs[0]) for fields in op.dependences()], op.outputs[0].ndim)


def fourier(op: Operation) -> RuleResult:
    """Fourier transform: every element depends on all along the transformed dimensions."""
    return op.input_fields.reduce([normalize_dim(dim, op["self"].ndim) for dim in op["dim"]])
