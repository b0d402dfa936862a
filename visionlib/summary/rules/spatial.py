"""Convolutions, pools, padding and resampling: rules for windows along height, width and depth."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import Dimension, ReceptiveFields, join
from visionlib.summary.windows import Windows, adaptive, padded, resampled, sliding, transposed

aten = torch.ops.aten


def convolution(op: Operation) -> RuleResult:
    """Convolve, in any number of dimensions, transposed or not: every output sees all channels of its group."""
    inputs, weight = op["input"], op["weight"]
    parts = []
    if (fields := op.fields(inputs)) is not None:
        parts.append(_slide(op, fields, weight.ndim - 2))
    if (fields := op.fields(weight)) is not None:
        # A kernel computed from the image: every output depends on all of it.
        merged = fields.reduce(range(fields.ndim))
        while merged.ndim > inputs.ndim:
            merged = merged.drop(0)
        parts.append(merged)
    return join(parts, inputs.ndim) if parts else None


def _slide(op: Operation, fields: ReceptiveFields, count: int) -> ReceptiveFields:
    inputs, weight, output = op["input"], op["weight"], op.outputs[0]
    fields = mix_channels(fields, 1, inputs.shape[1], op["groups"], output.shape[1])
    sizes = (_per_dim(op[name], count) for name in ("stride", "padding", "dilation"))
    make = transposed if op["transposed"] else sliding
    for dim, (stride, padding, dilation) in enumerate(zip(*sizes, strict=True), 2):
        windows = make(inputs.shape[dim], output.shape[dim], weight.shape[dim], stride, padding, dilation)
        fields = fields.apply_windows(dim, windows)
    return fields


def pool(count: int) -> Any:
    """Make the rule of a max or average pool in `count` dimensions."""

    def rule(op: Operation) -> RuleResult:
        inputs, output, fields = op.first, op.outputs[0], op.input_fields
        kernel = _per_dim(op["kernel_size"], count)
        stride = _per_dim(op.get("stride") or kernel, count)
        padding, dilation = _per_dim(op.get("padding", 0), count), _per_dim(op.get("dilation", 1), count)
        for at in range(count):
            dim = inputs.ndim - count + at
            windows = sliding(inputs.shape[dim], output.shape[dim], kernel[at], stride[at], padding[at], dilation[at])
            fields = fields.apply_windows(dim, windows)
        return fields

    return rule


def adaptive_pool(count: int) -> Any:
    """Make the rule of an adaptive pool in `count` dimensions."""

    def rule(op: Operation) -> RuleResult:
        inputs, output, fields = op.first, op.outputs[0], op.input_fields
        for dim in range(inputs.ndim - count, inputs.ndim):
            n, out = inputs.shape[dim], output.shape[dim]
            fields = fields.reduce([dim]) if out == 1 else fields.apply_windows(dim, adaptive(n, out))
        return fields

    return rule


def pad(mode: str) -> Any:
    """Make the rule of a padding in a mode of `F.pad`; negative sizes crop."""

    def rule(op: Operation) -> RuleResult:
        inputs, fields = op["self"], op.input_fields
        widths = op["pad"] if "pad" in op.values else op["padding"]
        for number, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):
            dim = inputs.ndim - 1 - number  # widths begin with the last dimension
            if before or after:
                fields = fields.apply_windows(dim, padded(inputs.shape[dim], before, after, mode))
        return fields

    return rule


def upsample(count: int) -> Any:
    """Make the rule of an up- or down-sampling in `count` dimensions, with any interpolation."""

    def rule(op: Operation) -> RuleResult:
        inputs, output, fields = op.first, op.outputs[0], op.input_fields
        for at in range(count):
            dim = inputs.ndim - count + at
            n, out = inputs.shape[dim], output.shape[dim]
            fields = fields.apply_windows(dim, _resampling(op, count, at, n, out))
        return fields

    return rule


def _resampling(op: Operation, count: int, at: int, n: int, out: int) -> Windows:
    is_aligned = bool(op.get("align_corners"))
    scale = _scale(op, count, at)
    if n == out and scale in (None, 1.0):
        return sliding(n, n, 1, 1, 0, 1)
    # Resampling is separable: the 1d operation of the same kind has the weights along this dimension.
    kind = op.name.split("upsample_")[1].split(f"{count}d")[0]
    is_antialiased = op.name.endswith("_aa")

    def compute_weights(size: int, out_size: int) -> Tensor:
        # Resample every unit vector: element j of the output is non-zero if it reads that pixel.
        pixels = torch.eye(size, dtype=torch.float64)
        if kind.startswith("nearest"):
            make = aten.upsample_nearest1d if kind == "nearest" else aten._upsample_nearest_exact1d
            rows: Tensor = make(pixels[None], [out_size], scale)[0].T
        elif kind in {"linear", "bilinear", "trilinear"} and not is_antialiased:
            rows = aten.upsample_linear1d(pixels[None], [out_size], is_aligned, scale)[0].T
        elif is_antialiased:
            make = aten._upsample_bilinear2d_aa if kind == "bilinear" else aten._upsample_bicubic2d_aa
            rows = make(pixels[None, None], [size, out_size], is_aligned, None, scale)[0, 0].T
        else:
            rows = aten.upsample_bicubic2d(pixels[None, None], [size, out_size], is_aligned, None, scale)[0, 0].T
        return rows

    if is_aligned:
        if out == 1 or n == 1:
            seen = resampled(n, out, Fraction(1), compute_weights).seen
            return Windows(n, seen, seen, 1, 1)
        return resampled(n, out, Fraction(n - 1, out - 1), compute_weights)
    ratio = Fraction(n, out) if scale is None else 1 / Fraction(scale).limit_denominator(1000)
    return resampled(n, out, ratio, compute_weights)


def _scale(op: Operation, count: int, at: int) -> float | None:
    if (scales := op.get("scale_factors") or op.get("scales_factors")) is not None:
        return float(scales[at])
    names = [["scales"], ["scales_h", "scales_w"], ["scales_d", "scales_h", "scales_w"]][count - 1]
    value = op.get(names[at])
    return None if value is None else float(value)


def mix_channels(fields: ReceptiveFields, dim: int, n: int, groups: int, out: int) -> ReceptiveFields:
    """Merge the n channels of every group, for `out` output channels."""
    if groups == 1:
        return fields.reduce([dim])
    if fields.is_invariant(dim):
        return fields
    split = tuple(
        bound.unflatten(dim + 1, (groups, -1))  # type: ignore[no-untyped-call]
        for bound in fields.expand_dim(dim, n).bounds
    )
    dimension = Dimension(fields.dims[dim].axes)
    dims = (*fields.dims[:dim], dimension, dimension, *fields.dims[dim + 1 :])
    grouped = replace(fields, bounds=split, dims=dims).reduce([dim + 1]).drop(dim + 1)
    return replace(grouped, bounds=tuple(bound.repeat_interleave(out // groups, dim + 1) for bound in grouped.bounds))


def _per_dim(value: int | Sequence[int], count: int) -> list[int]:
    """One value of a setting per dimension."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values
