"""The rule of the range test on curves whose answer can be seen."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionlib.training.rate_rule import cap_losses, plan_next_test, smooth_losses, suggest_rate

STEPS = 100
RATES = [10 ** (-3 + 4 * step / (STEPS - 1)) for step in range(STEPS)]


def lines(*corners: tuple[float, float]) -> list[float]:
    steps, values = zip(*corners, strict=True)
    return [float(value) for value in np.interp(np.arange(STEPS), steps, values)]


def step_of(rate: float | None) -> int:
    """Which step the rate is of, seen that it was rounded."""
    assert rate is not None
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
    assert suggestion is not None
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


def curve(
    seed: int, steps: int, growth: str, noise: float, *, highest: float | None = None
) -> tuple[list[float], list[float], float]:
    """Make a range test; return rates and losses, and the rate from which the loss without noise has risen.

    It falls from 2.3 to a minimum, then rises slowly, fast, or within a step. The noise is a fraction of the fall, and
    three times as large after the rise. In every fifth curve a loss after the rise is not finite. The test ends as
    `find_learning_rate` does. A loss has risen by a tenth of its fall.
    """
    rng = np.random.default_rng(seed)
    top = highest or float(rng.choice([0.1, 1.0, 10.0]))
    share = np.arange(steps) / (steps - 1)
    rates = 1e-3 * (top / 1e-3) ** share if growth == "exponential" else 1e-3 + (top - 1e-3) * share
    decades, corner = np.log10(rates / 1e-3), rng.uniform(0.3, math.log10(top / 1e-3))
    fall = 2.3 * rng.uniform(0.2, 0.9)
    past = np.clip(decades - corner, 0, None)
    slope = rng.uniform(1, 3)
    rise = [
        slope * past,
        np.expm1(np.minimum(5 * slope * past, 40)),
        2 * np.exp(np.minimum(10 * past, 40)) * (past > 0),
    ]
    clean = 2.3 - fall * np.clip(decades / (corner * rng.uniform(0.5, 1)), 0, 1) + fall * rise[seed % 3]
    noisy = clean + noise * fall * rng.standard_normal(steps) * np.where(past > 0, 3, 1)
    losses: list[float] = []
    mean = lowest = math.inf
    for step, loss in enumerate(np.maximum(noisy, 0.01).tolist()):
        if seed % 5 == 0 and past[step] > 0.3:
            losses.append([math.nan, math.inf][seed % 2])
            break
        losses.append(loss)
        mean = loss if step == 0 else 0.8 * mean + 0.2 * loss
        lowest = min(lowest, mean)
        if mean > 4 * lowest:
            break
    least = np.minimum.accumulate(clean)
    risen = np.flatnonzero(clean > least + 0.1 * np.maximum(2.3 - least, fall))
    return rates[: len(losses)].tolist(), losses, float(rates[risen[0]]) if len(risen) else math.inf


@pytest.mark.parametrize(
    ("noise", "margin", "exceptions"), [(0.0, 1.05, 0), (0.05, 1.05, 0), (0.1, 1.7, 0), (0.2, 1.7, 1)]
)
@pytest.mark.parametrize("growth", ["exponential", "linear"])
@pytest.mark.parametrize(("steps", "highest"), [(20, None), (30, None), (50, 10.0)])
def test_few_losses_never_suggest_a_rate_past_the_rise(
    steps: int, highest: float | None, growth: str, noise: float, margin: float, exceptions: int
) -> None:
    """The margin is a step of 20 over four decades where single losses are noisy, and rounding where they are not."""
    told, past = 0, 0
    for seed in range(400):
        rates, losses, risen = curve(seed, steps, growth, noise, highest=highest)
        suggestion, rule = suggest_rate(rates, losses)
        if suggestion is None:
            assert re.search("take at least [0-9]+ steps", rule)
        else:
            told += 1
            past += suggestion > margin * risen
    assert past <= exceptions
    assert (told >= 330) == (growth == "exponential")


def test_linear_growth_from_a_rate_that_is_not_far_below_the_rise() -> None:
    """The distances between its rates are then small enough."""
    rates = np.linspace(0.01, 0.4, 40)
    losses = np.interp(rates, [0.01, 0.2, 0.4], [2.3, 1.0, 3.0]).tolist()
    suggestion, _ = suggest_rate(rates.tolist(), losses)
    assert suggestion == pytest.approx(0.18, abs=0.03)


def test_what_is_said_of_the_highest_rate_is_true() -> None:
    """That the loss did not rise, and so that higher rates are worth a test."""
    for seed in range(1000):
        rates, losses, risen = curve(seed, 20 + seed % 20, "exponential", 0.05)
        if "test higher ones" in suggest_rate(rates, losses)[1]:
            assert risen >= rates[-3]  # a later rise shows in no smoothed loss
            assert max(losses) <= 2 * max(losses[:2])


@pytest.mark.parametrize(
    ("seed", "suggestion"),
    [(1, 0.17), (3, 0.0053), (4, 4.8), (5, 1.6), (6, 0.24), (7, 0.39), (8, 0.028), (9, 3.3), (10, 4.8), (12, 0.026)],
)
def test_a_hundred_steps_are_read_as_they_were_measured(seed: int, suggestion: float) -> None:
    """Suggestions of the rule that docs/experiments.md compares, from before few losses had a reading of their own."""
    rates, losses, _ = curve(seed, STEPS, "exponential", 0.1, highest=10.0)
    assert suggest_rate(rates, losses)[0] == suggestion


def test_a_rise_after_few_steps_is_seen() -> None:
    """ResNet-20 by SGD on `shapes`. The first valley ends at a rate of 0.018; at the last rate nothing is learned."""
    first = [3.79, 3.48, 3.44, 3.01, 2.72, 2.59, 2.53, 2.97, 3.05, 3.73]
    losses = [*first, 3.2, 3.3, 3.38, 3.02, 2.44, 2.61, 2.37, 2.4, 2.36, 2.37]
    suggestion, rule = suggest_rate([10 ** (4 * step / 19 - 3) for step in range(20)], losses)
    assert suggestion is not None
    assert 0.005 <= suggestion <= 0.018
    assert rule.startswith("a rate at the lowest smoothed loss before its first rise, which is seen from 0.0")


def test_a_rise_between_two_rates_far_apart_is_not_guessed() -> None:
    losses = [1.68, 2.27, 16.73, 1.56, 3.76, 2.54, 2.24, 1.16, 2.67, 28.19]
    reason = "between its rates 0.001 and 0.1 a rise would not be seen"
    rule = f"too few steps to tell, {reason}: take at least 100 steps of exponential growth"
    assert suggest_rate([0.001 + 0.101 * step for step in range(10)], losses) == (None, rule)


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ([2.0, 1.0, 3.0, 4.0, 5.0], "only 1 of its losses lie before the rise, the lowest one included"),
        ([2.0, 2.1, 2.0, 9.0], "only 1 of its losses lie before the rise, the lowest one included"),
        ([2.0, 1.9, 1.8], "only 3 of its losses lie before the rise, the lowest one included"),
        ([2.0, 1.0, 2.0, 1.0, 2.5, 1.0, 0.9, 2.0, 1.0] * 2, "its noise would hide a rise by a tenth of its fall"),
        ([2.0, math.inf], "only 1 of its losses lie before the rise, the lowest one included"),
    ],
)
def test_without_a_suggestion_the_reason_is_told(losses: list[float], reason: str) -> None:
    rates = [2e-3 * 1.6**step for step in range(len(losses))]
    rule = f"too few steps to tell, {reason}: take at least 100 steps of exponential growth"
    assert suggest_rate(rates, losses) == (None, rule)
    assert plan_next_test(rates) == {"steps": 100}


def test_a_test_that_begins_too_high_shall_begin_lower() -> None:
    rates = [1.05**step for step in range(60)]
    suggestion, rule = suggest_rate(rates[:5], [2.3, 2.4, 5.0, 20.0, 90.0])
    assert suggestion is None
    assert rule.endswith("take at least 100 steps of exponential growth, beginning at 0.1 or below")
    assert plan_next_test(rates) == {"steps": 120, "lowest": 0.1}


def test_many_losses_that_diverge_without_a_visible_rise_are_not_told_as_calm() -> None:
    losses = [[0.1, 3.9][step % 2] for step in range(STEPS)]
    assert suggest_rate(RATES, losses)[0] == pytest.approx(10)
    suggestion, rule = suggest_rate(RATES, [*losses[:-1], 50.0])
    assert suggestion is None
    assert rule.startswith("too few steps to tell, the loss diverged, and no rise before that stands out of its noise")


@pytest.mark.parametrize("end", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_a_divergence(end: float) -> None:
    losses = [*lines((0, 3.0), (100, 2.0))[:70], end]
    suggestion, rule = suggest_rate(RATES[:71], losses)
    # The loss falls to the end: only the divergence can be the rise, and the last finite losses come before it.
    assert 60 <= step_of(suggestion) <= 68
    assert "before its first rise" in rule
    assert cap_losses(losses)[-1] == 6.0 - 2 * 0.02  # twice the median of the first five


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([1, 2, 5]))
def test_any_curve_has_a_rate_within_the_test_or_a_reason(losses: list[float], stride: int) -> None:
    rates = [10 ** (-3 + 4 * stride * step / (STEPS - 1)) for step in range(len(losses))]
    suggestion, rule = suggest_rate(rates, losses)
    assert rule
    if suggestion is None:
        assert "take at least" in rule
    else:
        assert rates[0] * 0.95 <= suggestion <= rates[-1] * 1.05


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=150))
def test_smoothing_is_a_convolution_that_knows_its_ends(losses: list[float]) -> None:
    width = max(2.0, 0.03 * len(losses))
    offsets = np.arange(len(losses))[:, None] - np.arange(len(losses))
    weights = np.where(np.abs(offsets) <= np.ceil(4 * width), np.exp(-((offsets / width) ** 2) / 2), 0)
    expected = weights @ np.array(losses) / weights.sum(1)
    assert smooth_losses(losses) == pytest.approx(list(expected), abs=1e-9)
