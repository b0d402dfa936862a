"""Whether branches that are joined lie above each other: what two tensors see around the same position."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import torch
from torch import Tensor

from visionlib.summary.operation import Operation
from visionlib.summary.reach import FIELD_HIGH, FIELD_LOW, Course, Reach


def note_alignment(op: Operation, tensors: Sequence[Tensor], joined_dim: int | None = None) -> None:
    """Note the first two of some tensors that are joined and whose fields have other middles, or other jumps.

    Args:
        op: the operation that joins them.
        tensors: what is joined; what sees nothing of the image has no place in it.
        joined_dim: the dimension along which they are laid one after the other; by default they are on each other.
    """
    ndim = op.outputs[0].ndim
    placed = [(reach, ndim - tensor.ndim) for tensor in tensors if (reach := op.reach(tensor)) is not None]
    for (a, before_a), (b, before_b) in combinations(placed, 2):
        if a is b or (a.dims == b.dims and all(map(torch.equal, a.planes, b.planes))):
            continue
        courses = [_courses(reach, before, joined_dim) for reach, before in ((a, before_a), (b, before_b))]
        if sentence := _compare(a, b, *courses):
            op.note("misaligned", sentence)
            return


def _courses(reach: Reach, before: int, joined_dim: int | None) -> dict[int, tuple[int, Course]]:
    """Give, for the axes along which a reach moves evenly: the dimension in the result, its own, and the course."""
    moving = [(dim, along.course) for dim, along in enumerate(reach.dims) if along.course is not None]
    axes = [course.axis for _, course in moving]
    return {
        dim + before: (dim, course)
        for dim, course in moving
        if axes.count(course.axis) == 1 and course.axis not in reach.global_axes and dim + before != joined_dim
    }


def _compare(
    a: Reach, b: Reach, of_a: dict[int, tuple[int, Course]], of_b: dict[int, tuple[int, Course]]
) -> str | None:
    jumps: list[tuple[Fraction, Fraction]] = []
    apart: list[float] = []
    for dim in sorted(of_a.keys() & of_b.keys()):
        (dim_a, p), (dim_b, q) = of_a[dim], of_b[dim]
        if p.axis != q.axis or p.shift * q.shift <= 0:
            continue  # one of them is turned round
        jumps.append((abs(p.jump), abs(q.jump)))
        count = math.lcm(p.period, q.period)
        middles = [_middle(reach, at, p.axis, count) for reach, at in ((a, dim_a), (b, dim_b))]
        apart.append(math.nan if None in middles else abs((middles[0] or 0.0) - (middles[1] or 0.0)))
    if any(ours != theirs for ours, theirs in jumps):
        told = [_crossed([float(pair[side]) for pair in jumps]) for side in (0, 1)]
        return f"joins branches whose positions are {told[0]} and {told[1]} pixels from one to the next"
    if any(distance > 1e-4 for distance in apart) and not any(map(math.isnan, apart)):
        return f"joins branches that lie {_crossed(apart)} pixels apart"
    return None


def _middle(reach: Reach, dim: int, axis: int, count: int) -> float | None:
    """Give the middle of the field of the first positions along a dimension, on average over a period.

    None if they are fewer, or some see nothing.
    """
    plane = reach.planes[axis][[FIELD_LOW, FIELD_HIGH]]
    others = [at + 1 for at in range(reach.ndim) if at != dim and plane.shape[at + 1] > 1]
    along = (plane.amax(others) if others else plane).flatten(1)[:, :count]
    if along.shape[1] < count or not bool(along.isfinite().all()):
        return None
    return float((along[1] - along[0]).mean() / 2)


def _crossed(figures: Sequence[float]) -> str:
    return " x ".join(f"{figure:.3g}" for figure in figures)
