"""Measure the receptive fields of a layer's output: size, jump, start and the fraction of the image that is seen."""

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from visionlib.summary.receptive_fields import (
    FIELD_HIGH,
    FIELD_LOW,
    LINES,
    NOTHING,
    SEEN_HIGH,
    SEEN_LOW,
    ReceptiveFields,
)


def measure_fields(fields: ReceptiveFields) -> dict[str, Any]:
    """Measure the fields of all positions, over the channels of each.

    Returns:
        Attributes of a `LayerSummary` by name; none if no position sees any pixel along an axis.
    """
    bounds = [_merge_channels(bound, fields) for bound in fields.bounds]
    field_sizes = [_sizes(bound, FIELD_LOW, FIELD_HIGH) for bound in bounds]
    seen = [_sizes(bound, SEEN_LOW, SEEN_HIGH) for bound in bounds]
    if not field_sizes or any(float(field.max()) == 0 for field in field_sizes):
        return {}
    fraction = torch.ones(())
    for sizes, length in zip(seen, fields.image, strict=True):
        fraction = fraction * (sizes / length)
    largest, smallest = [tuple(int(pick(sizes)) for sizes in seen) for pick in (torch.max, torch.min)]
    axes = range(len(fields.image))
    return {
        "receptive_field": tuple(int(field.max()) for field in field_sizes),
        "smallest_receptive_field": tuple(int(field[field > 0].min()) for field in field_sizes),
        "is_global": fields.global_axes == set(axes) and smallest == fields.image,
        "jump": _jumps(fields),
        "start": tuple(_start(bounds[axis][FIELD_LOW], fields, axis) for axis in axes),
        "seen": largest,
        "smallest_seen": smallest,
        "seen_fraction": float(fraction.max()),
        "is_clipped": fields.is_clipped,
    }


def measure_line_coverage(fields: ReceptiveFields) -> tuple[float, ...]:
    """Fraction of the rows and columns within its bounds on which the middle position depends, per axis.

    Args:
        fields: traced with lines.
    """
    fractions = []
    for bound in fields.bounds:
        middle = _merge_channels(bound, fields)
        for _ in range(bound.ndim - 1):
            middle = middle.select(1, middle.shape[1] // 2)
        span = middle[SEEN_LOW] + middle[SEEN_HIGH] + 1
        fractions.append(int((middle[LINES:] > NOTHING).sum()) / int(span) if span > 0 else 1.0)
    return tuple(fractions)


def _sizes(bound: Tensor, low: int, high: int) -> Tensor:
    # Both bounds of an empty field are minus infinity.
    return (bound[low] + bound[high] + 1).clamp(min=0)


def _jumps(fields: ReceptiveFields) -> tuple[Fraction, ...] | None:
    jumps = []
    for axis in range(len(fields.image)):
        along_axis = [known for dimension in fields.dims if (known := dimension.periodicity) and known.axis == axis]
        if len(along_axis) != 1:
            return None
        jumps.append(abs(along_axis[0].jump))
    return tuple(jumps)


def _start(low: Tensor, fields: ReceptiveFields, axis: int) -> int:
    for dim, dimension in enumerate(fields.dims):
        if dimension.axes and low.shape[dim] > 1:
            low = low.narrow(dim, 0, 1)
    highest = float(low.max())
    return int(-highest) if highest > NOTHING else 0


def _merge_channels(bound: Tensor, fields: ReceptiveFields) -> Tensor:
    """Merge the bounds of all elements at one position, such as its channels."""
    others = [dim + 1 for dim, dimension in enumerate(fields.dims) if not dimension.axes and bound.shape[dim + 1] > 1]
    return bound.amax(others, keepdim=True) if others else bound
