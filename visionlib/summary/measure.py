"""From the reach of a layer's output to the figures of its row."""

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from visionlib.summary.reach import FIELD_HIGH, FIELD_LOW, LINES, NOTHING, SEEN_HIGH, SEEN_LOW, Reach


@dataclass(frozen=True)
class Figures:
    """The figures of one output; see `LayerSummary`."""

    receptive_field: tuple[int, ...]
    smallest_receptive_field: tuple[int, ...]
    is_global: bool
    jump: tuple[Fraction, ...] | None
    start: tuple[int, ...]
    seen: tuple[int, ...]
    smallest_seen: tuple[int, ...]
    seen_fraction: float
    is_clipped: bool


def measure(reach: Reach) -> Figures | None:
    """Measure what the positions of an output see, all channels of a position together; None if none sees anything."""
    planes = [_of_positions(plane, reach) for plane in reach.planes]
    fields = [_sizes(plane, FIELD_LOW, FIELD_HIGH) for plane in planes]
    seen = [_sizes(plane, SEEN_LOW, SEEN_HIGH) for plane in planes]
    if not fields or any(float(field.max()) == 0 for field in fields):
        return None
    share = torch.ones(())
    for sizes, length in zip(seen, reach.image, strict=True):
        share = share * (sizes / length)
    largest, smallest = [tuple(int(pick(sizes)) for sizes in seen) for pick in (torch.max, torch.min)]
    axes = range(len(reach.image))
    return Figures(
        receptive_field=tuple(int(field.max()) for field in fields),
        smallest_receptive_field=tuple(int(field[field > 0].min()) for field in fields),
        is_global=reach.global_axes == set(axes) and smallest == reach.image,
        jump=_jumps(reach),
        start=tuple(_start(planes[axis][FIELD_LOW], reach, axis) for axis in axes),
        seen=largest,
        smallest_seen=smallest,
        seen_fraction=float(share.max()),
        is_clipped=reach.is_clipped,
    )


def lines_of_hull(reach: Reach) -> tuple[float, ...]:
    """Give, for the position in the middle, the share of the lines between first and last that it sees.

    Only for a reach that follows single lines.
    """
    shares = []
    for plane in reach.planes:
        middle = _of_positions(plane, reach)
        for _ in range(plane.ndim - 1):
            middle = middle.select(1, middle.shape[1] // 2)
        hull = middle[SEEN_LOW] + middle[SEEN_HIGH] + 1
        shares.append(int((middle[LINES:] > NOTHING).sum()) / int(hull) if hull > 0 else 1.0)
    return tuple(shares)


def _sizes(plane: Tensor, low: int, high: int) -> Tensor:
    # Of what sees nothing both are minus infinity.
    return (plane[low] + plane[high] + 1).clamp(min=0)


def _jumps(reach: Reach) -> tuple[Fraction, ...] | None:
    jumps = []
    for axis in range(len(reach.image)):
        courses = [along.course for along in reach.dims if along.course is not None and along.course.axis == axis]
        if len(courses) != 1:
            return None
        jumps.append(abs(courses[0].jump))
    return tuple(jumps)


def _start(low: Tensor, reach: Reach, axis: int) -> int:
    for dim, along in enumerate(reach.dims):
        if axis in along.axes and low.shape[dim] > 1:
            low = low.narrow(dim, 0, 1)
    highest = float(low.max())
    return int(-highest) if highest > NOTHING else 0


def _of_positions(plane: Tensor, reach: Reach) -> Tensor:
    """See together what all entries see that belong to one position, such as its channels."""
    others = [dim + 1 for dim, along in enumerate(reach.dims) if not along.axes and plane.shape[dim + 1] > 1]
    return plane.amax(others, keepdim=True) if others else plane
