"""Misalignment: branches whose fields have different centers or jumps at the same position when they are joined."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import torch
from torch import Tensor

from visionlib.summary.operation import Operation
from visionlib.summary.periodicity import Periodicity
from visionlib.summary.receptive_fields import FIELD_HIGH, FIELD_LOW, ReceptiveFields


def note_alignment(op: Operation, tensors: Sequence[Tensor], joined_dim: int | None = None) -> None:
    """Note the first pair of joined tensors whose fields have different centers or jumps.

    Args:
        op: the operation that joins them.
        tensors: its operands; those that do not depend on the image are ignored.
        joined_dim: the dimension of a concatenation; by default the operation is elementwise.
    """
    ndim = op.outputs[0].ndim
    operands = [(fields, ndim - tensor.ndim) for tensor in tensors if (fields := op.fields(tensor)) is not None]
    for (a, before_a), (b, before_b) in combinations(operands, 2):
        if a is b or (a.dims == b.dims and all(map(torch.equal, a.bounds, b.bounds))):
            continue
        periodicities = [
            _periodicities(fields, before, joined_dim) for fields, before in ((a, before_a), (b, before_b))
        ]
        if sentence := _compare(a, b, *periodicities):
            op.note("misaligned", sentence)
            return


def _periodicities(fields: ReceptiveFields, before: int, joined_dim: int | None) -> dict[int, tuple[int, Periodicity]]:
    """Output dimension -> operand dimension and its periodicity, for axes with a single periodic dimension."""
    moving = [(dim, along.periodicity) for dim, along in enumerate(fields.dims) if along.periodicity is not None]
    axes = [periodicity.axis for _, periodicity in moving]
    return {
        dim + before: (dim, periodicity)
        for dim, periodicity in moving
        if axes.count(periodicity.axis) == 1
        and periodicity.axis not in fields.global_axes
        and dim + before != joined_dim
    }


def _compare(
    a: ReceptiveFields,
    b: ReceptiveFields,
    of_a: dict[int, tuple[int, Periodicity]],
    of_b: dict[int, tuple[int, Periodicity]],
) -> str | None:
    jumps: list[tuple[Fraction, Fraction]] = []
    distances: list[float] = []
    for dim in sorted(of_a.keys() & of_b.keys()):
        (dim_a, p), (dim_b, q) = of_a[dim], of_b[dim]
        if p.axis != q.axis or p.shift * q.shift <= 0:
            continue  # one of them is flipped
        jumps.append((abs(p.jump), abs(q.jump)))
        count = math.lcm(p.period, q.period)
        centers = [_mean_center(fields, at, p.axis, count) for fields, at in ((a, dim_a), (b, dim_b))]
        distances.append(math.nan if None in centers else abs((centers[0] or 0.0) - (centers[1] or 0.0)))
    if any(p != q for p, q in jumps):
        ours, theirs = (_format_sizes([float(pair[side]) for pair in jumps]) for side in (0, 1))
        return f"joins branches with jumps of {ours} and {theirs} pixels"
    if any(distance > 1e-4 for distance in distances) and not any(map(math.isnan, distances)):
        return f"joins branches that lie {_format_sizes(distances)} pixels apart"
    return None


def _mean_center(fields: ReceptiveFields, dim: int, axis: int, count: int) -> float | None:
    """Mean center of the fields of the first `count` elements along a dimension.

    None if there are fewer, or one has an empty field.
    """
    bound = fields.bounds[axis][[FIELD_LOW, FIELD_HIGH]]
    others = [at + 1 for at in range(fields.ndim) if at != dim and bound.shape[at + 1] > 1]
    along = (bound.amax(others) if others else bound).flatten(1)[:, :count]
    if along.shape[1] < count or not bool(along.isfinite().all()):
        return None
    return float((along[1] - along[0]).mean() / 2)


def _format_sizes(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
