"""Windows have the indices that PyTorch reads: every table against the operation on unit vectors."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from visionlib.summary.windows import NO_ELEMENT, Windows, adaptive, indexed, padded, resampled, sliding, transposed


def read_by(windows: Windows) -> list[set[int]]:
    return [{int(at) for at in row if 0 <= at < windows.n} for row in windows.seen]


def read_by_torch(run: Callable[[Tensor], Tensor], n: int) -> list[set[int]]:
    """Run on unit vectors: (n, 1, n) to (n, 1, out)."""
    outputs = run(torch.eye(n, dtype=torch.float64)[:, None])[:, 0]
    return [set(column.nonzero().flatten().tolist()) for column in outputs.T]


@pytest.mark.parametrize("n", [5, 8, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolutions(n: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    ones = torch.ones(1, 1, kernel, dtype=torch.float64)
    gathered = read_by_torch(lambda x: F.conv1d(x, ones, None, stride, padding, dilation), n)
    assert read_by(sliding(n, len(gathered), kernel, stride, padding, dilation)) == gathered
    spread = read_by_torch(lambda x: F.conv_transpose1d(x, ones, None, stride, padding, dilation=dilation), n)
    assert read_by(transposed(n, len(spread), kernel, stride, padding, dilation)) == spread


def test_a_pool_in_ceil_mode_reads_what_is_left() -> None:
    pooled = read_by_torch(lambda x: F.avg_pool1d(x, 3, 2, ceil_mode=True), 8)
    assert read_by(sliding(8, 4, 3, 2, 0, 1)) == pooled
    assert pooled[-1] == {6, 7}


@pytest.mark.parametrize(("n", "out"), [(7, 3), (8, 4), (3, 7), (10, 4), (6, 6), (5, 1)])
def test_adaptive_pools(n: int, out: int) -> None:
    assert read_by(adaptive(n, out)) == read_by_torch(lambda x: F.adaptive_avg_pool1d(x, out), n)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding(mode: str) -> None:
    windows = padded(6, 2, 3, mode)
    assert read_by(windows) == read_by_torch(lambda x: F.pad(x, (2, 3), mode=mode), 6)
    assert windows.field.flatten().tolist() == list(range(-2, 9))


def test_reflection_of_a_single_element_is_that_element() -> None:
    assert padded(1, 1, 1, "reflect").seen.flatten().tolist() == [0, 0, 0]


def test_a_negative_padding_crops() -> None:
    assert read_by(padded(6, -2, -1, "constant")) == [{2}, {3}, {4}]


@pytest.mark.parametrize(("n", "out"), [(4, 8), (5, 15), (6, 4), (6, 3), (5, 7)])
def test_linear_interpolation(n: int, out: int) -> None:
    def compute_weights(size: int, to: int) -> Tensor:
        return F.interpolate(torch.eye(size, dtype=torch.float64)[:, None], size=to, mode="linear")[:, 0].T

    windows = resampled(n, out, Fraction(n, out), compute_weights)
    assert read_by(windows) == read_by_torch(lambda x: F.interpolate(x, size=out, mode="linear"), n)
    assert (windows.period, windows.shift) == (Fraction(n, out).denominator, Fraction(n, out).numerator)
    for i in range(out):
        # The center of an output element, in input elements, lies between those that are read, or is the only one.
        middle = (i + 0.5) * n / out - 0.5
        assert min(at for at in windows.field[i].tolist() if at != NO_ELEMENT) == int(middle // 1)


@pytest.mark.parametrize(
    ("windows", "later"),
    [
        (sliding(20, 8, 3, 2, 1, 2), 1),
        (transposed(9, 20, 3, 2, 1, 1), 2),
        (adaptive(12, 8), 2),
        (padded(9, 2, 2, "circular"), 1),
        (indexed(9, range(1, 9, 3), 3), 1),
    ],
    ids=["sliding", "spreading", "adaptive", "padded", "picking"],
)
def test_windows_repeat_every_step(windows: Windows, later: int) -> None:
    assert windows.period == later
    for i in range(len(windows.field) - later):
        first = {int(at) + windows.shift for at in windows.field[i] if at != NO_ELEMENT}
        assert {int(at) for at in windows.field[i + later] if at != NO_ELEMENT} == first


def test_properties() -> None:
    same, reflected = sliding(5, 5, 1, 1, 0, 1), padded(5, 2, 2, "reflect")
    assert same.is_identity
    assert not sliding(5, 3, 1, 2, 0, 1).is_identity
    assert not indexed(3, [2, 1, 0], -1).is_identity
    assert (same.crosses_border, reflected.crosses_border) == (False, True)
    assert bool(reflected.is_inside.all())
    assert reflected.is_field_inside.flatten().tolist() == [False] * 2 + [True] * 5 + [False] * 2
