import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionlib.training.schedule import one_cycle, resolution_px


def test_one_cycle_equals_the_straight_lines_through_its_corners() -> None:
    rates = [one_cycle(step, 100, 0.4, 0.25) for step in range(100)]
    assert rates == pytest.approx(list(np.interp(np.arange(100) + 0.5, [0, 25, 100], [0, 0.4, 0])))


@given(st.integers(1, 500), st.floats(0, 1))
def test_rates_are_above_zero_and_never_above_the_peak(total: int, warmup: float) -> None:
    for step in range(total):
        assert 0 < one_cycle(step, total, 0.2, warmup) <= 0.2


@pytest.mark.parametrize(
    ("epochs", "shares", "expected"),
    [
        (6, (0.5, 0.5, 0.5, 0.75, 0.75, 1.0), [16, 16, 16, 24, 24, 32]),
        (4, (0.5, 1.0), [16, 16, 32, 32]),
        (3, (1.0,), [32, 32, 32]),
        (1, (0.5, 0.75, 1.0), [32]),
        (2, (0.5, 0.75, 1.0), [24, 32]),
        (2, (0.3, 0.7), [8, 24]),
    ],
)
def test_resolutions_spread_over_the_epochs(epochs: int, shares: tuple[float, ...], expected: list[int]) -> None:
    assert [resolution_px(epoch, epochs, shares, 32) for epoch in range(epochs)] == expected


@given(st.integers(1, 30), st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(1, 224))
def test_resolutions_stay_within_the_image(epochs: int, shares: list[float], side_px: int) -> None:
    for epoch in range(epochs):
        assert min(8, side_px) <= resolution_px(epoch, epochs, tuple(shares), side_px) <= side_px


def test_a_whole_side_stays_itself() -> None:
    assert resolution_px(0, 1, (1.0,), 29) == 29
