"""Convolutions, pools, padding and resampling: what slides along the image."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, Outcome
from visionlib.summary.reach import Reach, join
from visionlib.summary.windows import Windows, adaptive, interpolated, padded, sliding, spreading

aten = torch.ops.aten


def convolution(op: Operation) -> Outcome:
    """Convolve, in any number of dimensions, forward or transposed: all channels of a group are seen together."""
    inputs, weight = op["input"], op["weight"]
    count = weight.ndim - 2
    reach = op.reach(inputs)
    of_weight = op.reach(weight)
    if reach is None or of_weight is not None:
        # A kernel that was made from the image: every output depends on all that went into it.
        whole = [] if of_weight is None else [_shrink(of_weight.reduce(range(of_weight.ndim)), inputs.ndim)]
        return _joined([*([] if reach is None else [_slide(op, reach, count)]), *whole], inputs.ndim)
    return _slide(op, reach, count)


def _slide(op: Operation, reach: Reach, count: int) -> Reach:
    inputs, weight, output = op["input"], op["weight"], op.outputs[0]
    reach = mix_channels(reach, 1, inputs.shape[1], op["groups"], output.shape[1])
    sizes = spread(op["stride"], count), spread(op["padding"], count), spread(op["dilation"], count)
    make = spreading if op["transposed"] else sliding
    for at, (stride, padding, dilation) in enumerate(zip(*sizes, strict=True)):
        dim = at + 2
        windows = make(inputs.shape[dim], output.shape[dim], weight.shape[dim], stride, padding, dilation)
        reach = reach.look(dim, windows)
    return reach


def pool(count: int) -> Any:
    """Make the rule of a maximum or average over windows of `count` dimensions."""

    def rule(op: Operation) -> Outcome:
        inputs, output = op.first, op.outputs[0]
        reach = op.reach(inputs)
        if reach is None:
            return None
        kernel = spread(op["kernel_size"], count)
        stride = spread(op.get("stride") or kernel, count)
        padding, dilation = spread(op.get("padding", 0), count), spread(op.get("dilation", 1), count)
        for at in range(count):
            dim = inputs.ndim - count + at
            windows = sliding(inputs.shape[dim], output.shape[dim], kernel[at], stride[at], padding[at], dilation[at])
            reach = reach.look(dim, windows)
        return reach

    return rule


def adaptive_pool(count: int) -> Any:
    """Make the rule of a pool whose windows follow from the size of its output."""

    def rule(op: Operation) -> Outcome:
        inputs, output = op.first, op.outputs[0]
        reach = op.reach(inputs)
        if reach is None:
            return None
        for dim in range(inputs.ndim - count, inputs.ndim):
            n, out = inputs.shape[dim], output.shape[dim]
            reach = reach.reduce([dim]) if out == 1 else reach.look(dim, adaptive(n, out))
        return reach

    return rule


def constant_pad(op: Operation) -> Outcome:
    """Pad or crop any dimensions; what is added sees nothing."""
    return _pad(op, op["self"], op["pad"], "constant")


def reflection_pad(op: Operation) -> Outcome:
    """Pad by reflecting."""
    return _pad(op, op["self"], op["padding"], "reflect")


def replication_pad(op: Operation) -> Outcome:
    """Pad by repeating the border."""
    return _pad(op, op["self"], op["padding"], "replicate")


def circular_pad(op: Operation) -> Outcome:
    """Pad by going round."""
    return _pad(op, op["self"], op["pad"], "circular")


def _pad(op: Operation, inputs: Tensor, widths: Sequence[int], mode: str) -> Outcome:
    reach = op.reach(inputs)
    if reach is None:
        return None
    for at in range(len(widths) // 2):
        before, after = widths[2 * at], widths[2 * at + 1]
        dim = inputs.ndim - 1 - at
        if before or after:
            reach = reach.look(dim, padded(inputs.shape[dim], before, after, mode))
    return reach


def upsample(count: int) -> Any:
    """Make the rule of a resampling, in either direction and by whatever weights."""

    def rule(op: Operation) -> Outcome:
        inputs, output = op.first, op.outputs[0]
        reach = op.reach(inputs)
        if reach is None:
            return None
        for at in range(count):
            dim = inputs.ndim - count + at
            n, out = inputs.shape[dim], output.shape[dim]
            reach = reach.look(dim, _resampling(op, count, at, n, out))
        return reach

    return rule


def _resampling(op: Operation, count: int, at: int, n: int, out: int) -> Windows:
    is_aligned = bool(op.get("align_corners"))
    scale = _scale(op, count, at)
    if n == out and scale in (None, 1.0):
        return sliding(n, n, 1, 1, 0, 1)
    # Along one dimension alone, the smallest of its family does what they all do.
    kind = op.name.split("upsample_")[1].split(f"{count}d")[0]
    is_smooth = op.name.endswith("_aa")

    def weigh(size: int, to: int) -> Tensor:
        # One row for each pixel that is on: what it becomes tells where it has a weight.
        pixels = torch.eye(size, dtype=torch.float64)
        if kind.startswith("nearest"):
            make = aten.upsample_nearest1d if kind == "nearest" else aten._upsample_nearest_exact1d
            rows: Tensor = make(pixels[None], [to], scale)[0].T
        elif kind in {"linear", "bilinear", "trilinear"} and not is_smooth:
            rows = aten.upsample_linear1d(pixels[None], [to], is_aligned, scale)[0].T
        elif is_smooth:
            make = aten._upsample_bilinear2d_aa if kind == "bilinear" else aten._upsample_bicubic2d_aa
            rows = make(pixels[None, None], [size, to], is_aligned, None, scale)[0, 0].T
        else:
            rows = aten.upsample_bicubic2d(pixels[None, None], [size, to], is_aligned, None, scale)[0, 0].T
        return rows

    if is_aligned:
        if out == 1 or n == 1:
            seen = interpolated(n, out, Fraction(1), weigh).seen
            return Windows(n, seen, seen, 1, 1)
        return interpolated(n, out, Fraction(n - 1, out - 1), weigh)
    ratio = Fraction(n, out) if scale is None else 1 / Fraction(scale).limit_denominator(1000)
    return interpolated(n, out, ratio, weigh)


def _scale(op: Operation, count: int, at: int) -> float | None:
    if (scales := op.get("scale_factors") or op.get("scales_factors")) is not None:
        return float(scales[at])
    names = [["scales"], ["scales_h", "scales_w"], ["scales_d", "scales_h", "scales_w"]][count - 1]
    value = op.get(names[at])
    return None if value is None else float(value)


def mix_channels(reach: Reach, dim: int, n: int, groups: int, out: int) -> Reach:
    """Let every channel of a group see what all of them see, for `out` channels afterwards."""
    if groups == 1:
        return reach.reduce([dim])
    if reach.is_still(dim):
        return reach
    reach = split_dim(reach.expand_dim(dim, n), dim, groups).reduce([dim + 1])
    per_group = out // groups
    planes = tuple(
        plane.squeeze(dim + 2).repeat_interleave(per_group, dim + 1)
        if plane.shape[dim + 1] > 1
        else plane.squeeze(dim + 2)
        for plane in reach.planes
    )
    return Reach(
        reach.image, planes, (*reach.dims[: dim + 1], *reach.dims[dim + 2 :]), reach.global_axes, reach.is_clipped
    )


def split_dim(reach: Reach, dim: int, outer: int) -> Reach:
    """Split a dimension that is written out in two."""
    planes = tuple(
        plane.unflatten(dim + 1, (outer, -1))  # type: ignore[no-untyped-call]
        for plane in reach.planes
    )
    along = reach.dims[dim]
    dims = (*reach.dims[:dim], type(along)(along.axes), type(along)(along.axes), *reach.dims[dim + 1 :])
    return Reach(reach.image, planes, dims, reach.global_axes, reach.is_clipped)


def spread(value: int | Sequence[int], count: int) -> list[int]:
    """Write a setting out for every dimension."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _shrink(reach: Reach, ndim: int) -> Reach:
    """Take a reach whose dimensions have all been reduced to another number of dimensions."""
    while reach.ndim > ndim:
        reach = reach.drop(0)
    return reach


def _joined(reaches: Sequence[Reach], ndim: int) -> Outcome:
    return join(reaches, ndim) if reaches else None
