"""Which entries of its input every entry of an output reads, along one dimension: for every kind of sliding window."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import torch
from torch import Tensor

NEVER = -(2**40)
"""Fills up windows that read fewer entries than others."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of every entry of an output.

    Attributes:
        n: size of the input along the dimension.
        field: (out, k), what would be read of an input without border: indices beyond it are left as they are.
        seen: (out, k), what is read of this input: padding that repeats or reflects entries is told as those entries.
        step_out: so many entries of the output further, the windows are the same,
        step_in: moved by so many entries of the input.
    """

    n: int
    field: Tensor
    seen: Tensor
    step_out: int
    step_in: int

    @cached_property
    def is_inside(self) -> Tensor:
        """(out, k): whether an entry that is read of this input is there."""
        return (self.seen >= 0) & (self.seen < self.n)

    @cached_property
    def is_field_inside(self) -> Tensor:
        """(out, k): whether an entry of the input without border lies within this input."""
        return (self.field >= 0) & (self.field < self.n)

    @cached_property
    def leaves_the_border(self) -> bool:
        """Whether anything is read from beyond the border."""
        return bool((~self.is_field_inside & (self.field != NEVER)).any())

    @cached_property
    def is_identity(self) -> bool:
        """Whether every entry reads the one at its own place, and there are as many as before."""
        return self.field.shape == (self.n, 1) and bool((self.field[:, 0] == torch.arange(self.n)).all())

    @cached_property
    def skips(self) -> bool:
        """Whether entries between those that are read are passed over, within windows or between them."""
        read = torch.zeros(self.n, dtype=torch.bool)
        read[self.seen[self.is_inside]] = True
        return not bool(read.all())


@lru_cache(maxsize=256)
def sliding(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """Windows of a convolution or pool: entry i reads i * stride - padding + t * dilation for t = 0 ... kernel - 1."""
    index = (torch.arange(out) * stride - padding)[:, None] + torch.arange(kernel) * dilation
    return Windows(n, index, index, 1, stride)


@lru_cache(maxsize=256)
def spreading(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """Windows of a transposed convolution: entry i reads every j with i = j * stride - padding + t * dilation."""
    places = torch.arange(out)[:, None] + padding - torch.arange(kernel) * dilation
    index = torch.where(places % stride == 0, places.div(stride, rounding_mode="floor"), NEVER)
    return Windows(n, index, index, stride, 1)


@lru_cache(maxsize=256)
def adaptive(n: int, out: int) -> Windows:
    """Windows of an adaptive pool: entry i reads from floor(i * n / out) to ceil((i + 1) * n / out), exclusive."""
    ranges = [range(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
    step = math.gcd(n, out)
    index = _fill_up(ranges)
    return Windows(n, index, index, out // step, n // step)


def picking(n: int, index: Sequence[int] | Tensor, step: int | None = None) -> Windows:
    """Entry i reads entry index[i]; `step` tells by how much the index grows, if it grows evenly."""
    column = torch.as_tensor(index, dtype=torch.int64)[:, None]
    return Windows(n, column, column, 1, step) if step is not None else Windows(n, column, column, 1, 1)


def padded(n: int, before: int, after: int, mode: str) -> Windows:
    """Entries before and after: `constant` reads nothing there, `reflect`, `replicate` and `circular` what they say.

    On an input without border each of them reads what lies there.
    """
    field = torch.arange(-before, n + after)
    seen = {
        "constant": lambda i: i,
        "reflect": lambda i: (n - 1) - ((i % max(2 * (n - 1), 1)) - (n - 1)).abs(),
        "replicate": lambda i: i.clamp(0, n - 1),
        "circular": lambda i: i % n,
    }[mode](field)
    return Windows(n, field[:, None], seen[:, None], 1, 1)


def interpolated(n: int, out: int, ratio: Fraction, weigh: Callable[[int, int], Tensor]) -> Windows:
    """Windows of a resampling, found by asking it: an entry is read if it has a weight.

    Args:
        n: size of the input.
        out: size of the output.
        ratio: entries of the input per entry of the output, by which the windows repeat.
        weigh: gives the weights, of shape (out, n), for sizes of input and output.
    """
    step_in, step_out = ratio.numerator, ratio.denominator
    seen = _taps(weigh(n, out))
    # What lies near the border reads from beyond it on an input that goes on: ask for such a one, whole steps larger
    # on both sides, and take its middle.
    margin = -(-8 // step_in)
    larger = _taps(weigh(n + 2 * margin * step_in, out + 2 * margin * step_out))
    field = larger[margin * step_out : margin * step_out + out]
    field = torch.where(field == NEVER, NEVER, field - margin * step_in)
    return Windows(n, field, seen, step_out, step_in)


def _taps(weights: Tensor) -> Tensor:
    return _fill_up([row.nonzero().flatten().tolist() for row in weights])


def _fill_up(rows: Sequence[Sequence[int]]) -> Tensor:
    widest = max(1, *map(len, rows)) if rows else 1
    return torch.tensor([[*row, *[NEVER] * (widest - len(row))] for row in rows], dtype=torch.int64)
