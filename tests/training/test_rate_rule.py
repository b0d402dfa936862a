"""The rule of the range test on curves whose answer can be seen."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionlib.training.rate_rule import smooth_losses, suggest_rate

STEPS = 100
RATES = [10 ** (-3 + 4 * step / (STEPS - 1)) for step in range(STEPS)]


def lines(*corners: tuple[float, float]) -> list[float]:
    steps, values = zip(*corners, strict=True)
    return [float(value) for value in np.interp(np.arange(STEPS), steps, values)]


def step_of(rate: float) -> int:
    """Which step the rate is of, seen that it was rounded."""
    return int(np.abs(np.log(np.array(RATES) / rate)).argmin())


def test_it_is_where_the_loss_has_risen_by_a_tenth_of_its_fall() -> None:
    suggestion, rule = suggest_rate(RATES, lines((0, 3.0), (50, 2.0), (100, 3.0)))
    # 0.1 above the lowest point is reached after 5 steps, and a bell of 3 steps rounds the corner by 2 or 3 more.
    assert 55 <= step_of(suggestion) <= 58
    assert rule == f"the rate {suggestion}, at which the smoothed loss has first risen again by a tenth of its fall"


@pytest.mark.parametrize("depth", [1.0, 2.3])
def test_a_far_later_valley_counts_half_however_deep_it_is(depth: float) -> None:
    suggestion, rule = suggest_rate(RATES, lines((0, 3.0), (40, 2.0), (50, 2.8), (80, depth), (100, 5.0)))
    found = re.fullmatch(r"the geometric mean of (.+?), at .* fall, and a tenth of (.+?), at which .* that", rule)
    assert found is not None
    edge, last = map(float, found.groups())
    assert 40 <= step_of(edge) <= 44
    assert 75 <= step_of(last) <= 81  # the steeper side pushes the smoothed one a little
    assert suggestion == pytest.approx((edge * last / 10) ** 0.5, rel=0.05)
    assert edge < suggestion < last / 10


def test_a_later_valley_nearby_does_not_count() -> None:
    alone = suggest_rate(RATES, lines((0, 3.0), (40, 2.0), (50, 2.8), (100, 2.8)))
    both = suggest_rate(RATES, lines((0, 3.0), (40, 2.0), (50, 2.8), (60, 1.0), (100, 5.0)))
    assert step_of(both[0]) == pytest.approx(step_of(alone[0]), abs=1)
    assert both[1].startswith("the rate")


def test_a_small_bump_does_not_count() -> None:
    suggestion, _ = suggest_rate(RATES, lines((0, 3.0), (30, 2.3), (33, 2.35), (60, 2.0), (100, 3.0)))
    assert 64 <= step_of(suggestion) <= 67


@pytest.mark.parametrize("end", [5.0, 1e3, 1e30])
def test_a_loss_that_runs_away_is_not_seen_before_it_does(end: float) -> None:
    suggestion, _ = suggest_rate(RATES, [*lines((0, 3.0), (100, 2.0))[:80], *[end] * 20])
    assert 73 <= step_of(suggestion) <= 80


def test_without_a_rise_it_is_the_highest() -> None:
    suggestion, rule = suggest_rate(RATES, lines((0, 3.0), (100, 2.0)))
    assert suggestion == pytest.approx(10)
    assert rule == "the highest rate of the test, up to which the smoothed loss did not rise: test higher ones too"


def test_noise_is_no_rise() -> None:
    found = []
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(0, 0.15, STEPS)
        curve = np.array(lines((0, 3.0), (40, 2.0), (70, 2.0), (80, 4.0), (100, 6.0))) + noise
        found.append(step_of(suggest_rate(RATES, list(curve))[0]))
    assert np.mean([68 <= step <= 76 for step in found]) >= 0.95


def test_a_trained_network_whose_loss_does_not_fall_has_a_rate_too() -> None:
    found = []
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(0, 0.05, STEPS)
        curve = np.array(lines((0, 0.5), (60, 0.5), (100, 4.5))) + noise
        found.append(step_of(suggest_rate(RATES, list(curve))[0]))
    assert np.mean([58 <= step <= 68 for step in found]) >= 0.9


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_any_curve_has_a_rate_within_the_test(losses: list[float]) -> None:
    rates = RATES[: len(losses)]
    suggestion, rule = suggest_rate(rates, losses)
    assert rates[0] * 0.95 <= suggestion <= rates[-1] * 1.05
    assert rule


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=150))
def test_smoothing_is_a_convolution_that_knows_its_ends(losses: list[float]) -> None:
    width = max(2.0, 0.03 * len(losses))
    offsets = np.arange(len(losses))[:, None] - np.arange(len(losses))
    weights = np.where(np.abs(offsets) <= np.ceil(4 * width), np.exp(-((offsets / width) ** 2) / 2), 0)
    expected = weights @ np.array(losses) / weights.sum(1)
    assert smooth_losses(losses) == pytest.approx(list(expected), abs=1e-9)
