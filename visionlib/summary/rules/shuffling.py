"""Pixel and channel shuffle: rules for operations that move elements between channels and positions."""

from collections.abc import Sequence
from dataclasses import replace

from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import Dimension, ReceptiveFields, concatenate
from visionlib.summary.rules.indexing import pick
from visionlib.summary.rules.shapes import reshape_fields


def pixel_shuffle(op: Operation) -> RuleResult:
    """Move r * r channels to r x r positions each."""
    inputs, r = op["self"], op["upscale_factor"]
    *batch, c, h, w = inputs.shape
    k = len(batch)
    fields = reshape_fields(op.input_fields, inputs.shape, [*batch, c // r**2, r, r, h, w])
    fields = fields.permute([*range(k), k, k + 3, k + 1, k + 4, k + 2])
    return _interleave(fields, [*batch, c // r**2, h, r, w, r], r)


def _interleave(fields: ReceptiveFields, shape: Sequence[int], r: int) -> ReceptiveFields:
    """Merge the last dimensions (h, r, w, r) to (h * r, w * r); periods along h and w become r times as long."""
    first = len(shape) - 4
    merged = reshape_fields(fields, shape, [*shape[:first], shape[first] * r, shape[first + 2] * r])
    for number in (0, 1):
        if (known := fields.dims[first + 2 * number].periodicity) is not None:
            axes = merged.dims[first + number].axes
            merged = merged.set_dimension(first + number, Dimension(axes, replace(known, period=known.period * r)))
    return merged


def pixel_unshuffle(op: Operation) -> RuleResult:
    """Move r x r positions to r * r channels."""
    inputs, r = op["self"], op["downscale_factor"]
    *batch, c, h, w = inputs.shape
    dim = len(batch) + 1
    parts: list[tuple[ReceptiveFields | None, int]] = []
    for row in range(r):
        rows = pick(op.input_fields, dim, h, range(row, h, r), r)
        parts += [(pick(rows, dim + 1, w, range(column, w, r), r).insert(dim), 1) for column in range(r)]
    return reshape_fields(concatenate(parts, dim), [*batch, c, r * r, h // r, w // r], op.outputs[0].shape)


def channel_shuffle(op: Operation) -> RuleResult:
    """Interleave the channels of groups."""
    inputs, groups = op["self"], op["groups"]
    n, c, *sides = inputs.shape
    fields = reshape_fields(op.input_fields, inputs.shape, [n, groups, c // groups, *sides])
    fields = fields.permute([0, 2, 1, *range(3, 3 + len(sides))])
    return reshape_fields(fields, [n, c // groups, groups, *sides], inputs.shape)
