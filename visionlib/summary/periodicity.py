"""Repetition of receptive fields along a tensor dimension: the bounds on an image without border follow from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

_LONGEST_PERIOD = 64


@dataclass(frozen=True)
class Periodicity:
    """How the bounds repeat along one dimension of a tensor: bounds[i + period] = bounds[i] + shift.

    Attributes:
        axis: image axis along which the fields move.
        period: elements after which the bounds repeat; above 1 behind an up-sampling.
        shift: pixels that they have moved by then; negative where the dimension was flipped.
    """

    axis: int
    period: int
    shift: int

    @property
    def jump(self) -> Fraction:
        """Pixels per element."""
        return Fraction(self.shift, self.period)

    def after(self, period: int, shift: int) -> "Periodicity":
        """Periodicity of the output of windows along this dimension that move by `shift` elements every `period`."""
        # After that many window periods the input index has moved by a multiple of the input's own period.
        repeats = self.period // math.gcd(self.period, shift)
        return Periodicity(self.axis, period * repeats, self.shift * shift * repeats // self.period)

    def join(self, other: "Periodicity") -> "Periodicity | None":
        """Periodicity of the merged fields of two tensors; None if they move apart."""
        if self.axis != other.axis or self.jump != other.jump:
            return None
        period = math.lcm(self.period, other.period)
        return Periodicity(self.axis, period, int(self.jump * period))


def find_periodicity(fields: Sequence[Tensor], dim: int) -> Periodicity | None:
    """Find the shortest period after which the field repeats, moved along exactly one axis.

    Args:
        fields: per image axis the negated lower and the upper bounds, of shape (2, *shape).
        dim: a dimension of these tensors.
    """
    n = max(field.shape[dim] for field in fields)
    for period in range(1, min(n // 2, _LONGEST_PERIOD) + 1):
        shifts = [_shift_after(field, dim, period) for field in fields]
        if None in shifts:
            continue
        moving = [(axis, int(shift)) for axis, shift in enumerate(shifts) if shift]
        return Periodicity(moving[0][0], period, moving[0][1]) if len(moving) == 1 else None
    return None


def _shift_after(field: Tensor, dim: int, period: int) -> int | None:
    """Pixels by which the field moves over a period; None if not the same everywhere."""
    n = field.shape[dim]
    if n == 1:
        return 0
    before, after = field.narrow(dim, 0, n - period), field.narrow(dim, period, n - period)
    is_empty = before.isneginf()
    if not torch.equal(is_empty, after.isneginf()):
        return None
    change = torch.where(is_empty, 0, after - before)
    if bool(is_empty.all()):
        return 0
    steps = change[1][~is_empty[1]]
    shift = float(steps[0]) if len(steps) else 0.0
    fits = torch.where(is_empty[1], True, change[1] == shift) & torch.where(is_empty[0], True, change[0] == -shift)
    return int(shift) if bool(fits.all()) else None
