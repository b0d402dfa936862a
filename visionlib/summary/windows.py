"""Windows: the input indices that every output element reads along one dimension.

Requirements:
- the indices that PyTorch reads, for every kernel, stride, padding, dilation and scale;
- the indices that it would read on an input without border.

Hence two index tables per kind of window. Both are periodic: `period` output elements further, every index is larger by
`shift`. So a receptive field can be continued beyond the border.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import torch
from torch import Tensor

NO_ELEMENT = -(2**40)
"""Index that reads nothing; it pads windows to the size of the largest."""

_ROUNDING = 1e-9
"""Largest weight of a resampling in double precision that counts as zero."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of all output elements along one dimension.

    Attributes:
        n: size of the input.
        field: (out, k), indices into an input without border: below 0 and from n on they lie beyond this input.
        seen: (out, k), indices into this input: reflected or repeated padding has the index of the element it copies.
        period: output elements after which the windows repeat.
        shift: input elements that they have moved by then.
    """

    n: int
    field: Tensor
    seen: Tensor
    period: int
    shift: int

    @cached_property
    def is_inside(self) -> Tensor:
        """(out, k): whether an index in `seen` lies within the input."""
        return (self.seen >= 0) & (self.seen < self.n)

    @cached_property
    def is_field_inside(self) -> Tensor:
        """(out, k): whether an index in `field` lies within the input."""
        return (self.field >= 0) & (self.field < self.n)

    @cached_property
    def crosses_border(self) -> bool:
        """Whether any index in `field` lies beyond the border."""
        return bool((~self.is_field_inside & (self.field != NO_ELEMENT)).any())

    @cached_property
    def is_identity(self) -> bool:
        """Whether output i reads input i alone, for all i."""
        return self.field.shape == (self.n, 1) and bool((self.field[:, 0] == torch.arange(self.n)).all())


@lru_cache(maxsize=256)
def sliding(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """Windows of a convolution or pool: output i reads i * stride - padding + t * dilation for t = 0 ... kernel - 1."""
    index = (torch.arange(out) * stride - padding)[:, None] + torch.arange(kernel) * dilation
    return Windows(n, index, index, 1, stride)


@lru_cache(maxsize=256)
def transposed(n: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Windows:
    """Windows of a transposed convolution: output i reads every j with i = j * stride - padding + t * dilation."""
    strided = torch.arange(out)[:, None] + padding - torch.arange(kernel) * dilation
    index = torch.where(strided % stride == 0, strided.div(stride, rounding_mode="floor"), NO_ELEMENT)
    return Windows(n, index, index, stride, 1)


@lru_cache(maxsize=256)
def adaptive(n: int, out: int) -> Windows:
    """Windows of an adaptive pool: output i reads from floor(i * n / out) to ceil((i + 1) * n / out), exclusive."""
    ranges = [range(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
    divisor = math.gcd(n, out)
    index = _pad_rows(ranges)
    return Windows(n, index, index, out // divisor, n // divisor)


def indexed(n: int, index: Sequence[int] | Tensor, step: int | None = None) -> Windows:
    """Windows of an indexing: output i reads input index[i]; `step` is the step of an evenly spaced index."""
    column = torch.as_tensor(index, dtype=torch.int64)[:, None]
    return Windows(n, column, column, 1, 1 if step is None else step)


def padded(n: int, before: int, after: int, mode: str) -> Windows:
    """Windows of a padding by `before` and `after` elements, in a mode of `F.pad`; negative sizes crop.

    On an input without border the padding reads the pixels that lie there, whatever the mode.
    """
    field = torch.arange(-before, n + after)
    seen = {
        "constant": lambda i: i,
        "reflect": lambda i: (n - 1) - ((i % max(2 * (n - 1), 1)) - (n - 1)).abs(),
        "replicate": lambda i: i.clamp(0, n - 1),
        "circular": lambda i: i % n,
    }[mode](field)
    return Windows(n, field[:, None], seen[:, None], 1, 1)


def resampled(n: int, out: int, ratio: Fraction, compute_weights: Callable[[int, int], Tensor]) -> Windows:
    """Windows of a resampling, read from its weights: an element is read if its weight is not zero.

    Args:
        n: size of the input.
        out: size of the output.
        ratio: input elements per output element.
        compute_weights: maps the sizes of input and output to the weights, of shape (out, n).
    """
    shift, period = ratio.numerator, ratio.denominator
    seen = _taps(compute_weights(n, out))
    # Without a border, the outer elements read beyond it: resample an input that is larger by whole shifts on both
    # sides, and take the middle.
    margin = math.ceil((4 * ratio + 4) / shift)  # an antialiased bicubic filter reaches over 2 * ratio elements
    larger = _taps(compute_weights(n + 2 * margin * shift, out + 2 * margin * period))
    field = larger[margin * period : margin * period + out]
    field = torch.where(field == NO_ELEMENT, NO_ELEMENT, field - margin * shift)
    return Windows(n, field, seen, period, shift)


def _taps(weights: Tensor) -> Tensor:
    # At the edges of its support a filter is zero, but for rounding.
    return _pad_rows([row.nonzero().flatten().tolist() for row in weights.abs() > _ROUNDING])


def _pad_rows(rows: Sequence[Sequence[int]]) -> Tensor:
    widest = max(1, *map(len, rows)) if rows else 1
    return torch.tensor([[*row, *[NO_ELEMENT] * (widest - len(row))] for row in rows], dtype=torch.int64)
