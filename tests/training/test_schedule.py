"""Every schedule against its formula, written here a second time and in another way, and at its ends."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionlib.errors import ConfigError
from visionlib.training import TrainConfig
from visionlib.training.schedule import (
    constant,
    cosine,
    is_sam_step,
    learning_rate,
    one_cycle,
    resolution_px,
    scale_side,
    step_fractions,
    triangular,
)

WITH_WARMUP: tuple[Callable[[Fraction, float, float], float], ...] = (one_cycle, cosine, constant)


def middles(total: int) -> list[Fraction]:
    """Positions of the steps of a run in which they cover equal fractions."""
    return [Fraction(2 * step + 1, 2 * total) for step in range(total)]


def rates(schedule: Callable[[Fraction, float, float], float], total: int, peak: float, setting: float) -> list[float]:
    return [schedule(position, peak, setting) for position in middles(total)]


def test_one_cycle_equals_the_straight_lines_through_its_corners() -> None:
    expected = np.interp(np.arange(100) + 0.5, [0, 25, 100], [0, 0.4, 0])
    assert rates(one_cycle, 100, 0.4, 0.25) == pytest.approx(list(expected))


@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_triangular_cycles_equal_the_straight_lines_through_their_corners(cycles: int) -> None:
    corners = np.linspace(0, 100, 2 * cycles + 1)
    expected = np.interp(np.arange(100) + 0.5, corners, [0, 0.4] * cycles + [0])
    assert [triangular(position, 0.4, cycles) for position in middles(100)] == pytest.approx(list(expected))


def test_cosine_equals_the_real_part_of_a_turning_unit_vector() -> None:
    places = (np.arange(100) + 0.5 - 20) / 80
    wave = 0.4 * np.abs((1 + np.exp(1j * np.pi * places)) / 2) ** 2  # |1 + e^ix|^2 / 4 = (1 + cos x) / 2
    expected = np.where(places < 0, np.linspace(0.4 / 40, 0.4 * 199 / 40, 100), wave)
    assert rates(cosine, 100, 0.4, 0.2) == pytest.approx(list(expected))


def test_constant_is_capped_where_the_warm_up_ends() -> None:
    expected = np.minimum(0.4, 0.4 / 30 * (np.arange(100) + 0.5))
    assert rates(constant, 100, 0.4, 0.3) == pytest.approx(list(expected))


@pytest.mark.parametrize("schedule", WITH_WARMUP)
@given(total=st.integers(1, 300), warmup=st.floats(0, 1))
def test_rates_are_above_zero_never_above_the_peak_and_rise_then_fall(
    schedule: Callable[[Fraction, float, float], float], total: int, warmup: float
) -> None:
    found = rates(schedule, total, 0.2, warmup)
    assert all(0 < rate <= 0.2 * (1 + 1e-12) for rate in found)
    top = found.index(max(found))
    assert np.all(np.diff(found[: top + 1]) >= 0)
    assert np.all(np.diff(found[top:]) <= 1e-12)


@pytest.mark.parametrize("schedule", WITH_WARMUP)
def test_ends_and_peak_with_a_warm_up(schedule: Callable[[Fraction, float, float], float]) -> None:
    found = rates(schedule, 1000, 0.2, 0.2)
    assert found[0] == pytest.approx(0.2 * 0.5 / 200)
    assert max(found) == pytest.approx(0.2, rel=1 / 200)
    assert found.index(max(found)) in (199, 200)
    assert found[-1] == pytest.approx(0.2 if schedule is constant else 0, abs=2e-4)


@pytest.mark.parametrize("schedule", WITH_WARMUP)
def test_without_a_warm_up_it_begins_at_the_peak(schedule: Callable[[Fraction, float, float], float]) -> None:
    found = rates(schedule, 1000, 0.2, 0.0)
    assert found[0] == max(found) == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("schedule", WITH_WARMUP)
def test_nothing_but_warm_up_rises_to_the_end(schedule: Callable[[Fraction, float, float], float]) -> None:
    assert rates(schedule, 4, 0.8, 1.0) == pytest.approx([0.1, 0.3, 0.5, 0.7])


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        (one_cycle, 0.0, 0.5),
        (one_cycle, 0.5, 1.0),
        (one_cycle, 1.0, 0.5),
        (cosine, 0.0, 0.5),
        (cosine, 0.5, 1.0),
        (cosine, 0.25, (1 + math.cos(math.pi / 3)) / 2),
        (constant, 0.0, 1.0),
        (constant, 1.0, 0.5),
    ],
)
def test_a_single_step(schedule: Callable[[Fraction, float, float], float], warmup: float, expected: float) -> None:
    assert schedule(Fraction(1, 2), 1.0, warmup) == pytest.approx(expected)


@given(st.integers(1, 300), st.integers(1, 400))
def test_triangular_cycles_are_alike_and_symmetric(total: int, cycles: int) -> None:
    config = TrainConfig(schedule="triangular", peak_learning_rate=0.2, cycles=cycles)
    found = [learning_rate(position, total, config) for position in middles(total)]
    assert all(0 <= rate <= 0.2 for rate in found)
    assert max(found) > 0
    assert found == pytest.approx(found[::-1])
    if total % cycles == 0:
        length = total // cycles
        assert found == pytest.approx(found[:length] * cycles)
        assert min(found) > 0


def test_more_cycles_than_steps_are_as_many_as_steps() -> None:
    config = TrainConfig(schedule="triangular", peak_learning_rate=0.2, cycles=8)
    assert [learning_rate(position, 3, config) for position in middles(3)] == pytest.approx([0.2, 0.2, 0.2])


def test_the_settings_choose_the_schedule() -> None:
    config = TrainConfig(peak_learning_rate=0.3, warmup_fraction=0.1, cycles=3)
    for position in middles(40)[::13]:
        assert learning_rate(position, 40, config) == one_cycle(position, 0.3, 0.1)
        assert learning_rate(position, 40, config.replace(schedule="triangular")) == triangular(position, 0.3, 3)
        assert learning_rate(position, 40, config.replace(schedule="cosine")) == cosine(position, 0.3, 0.1)
        assert learning_rate(position, 40, config.replace(schedule="constant")) == constant(position, 0.3, 0.1)


def test_an_unknown_schedule_and_no_cycle_are_refused() -> None:
    with pytest.raises(ConfigError, match="schedule: 'step' is none of its values; choose from: one-cycle, triangular"):
        TrainConfig.from_dict({"schedule": "step"})
    with pytest.raises(ConfigError, match="cycles: 0 is out of range; it must be at least 1"):
        TrainConfig(cycles=0)


@pytest.mark.parametrize(
    ("steps", "fractions", "expected"),
    [
        (6, (0.5, 0.5, 0.5, 0.75, 0.75, 1.0), [16, 16, 16, 24, 24, 32]),
        (4, (0.5, 1.0), [16, 16, 32, 32]),
        (5, (0.5, 1.0), [16, 16, 32, 32, 32]),
        (3, (1.0,), [32, 32, 32]),
        (1, (0.5, 0.75, 1.0), [24]),
        (2, (0.3, 0.7), [8, 24]),
    ],
)
def test_resolutions_spread_over_the_steps(steps: int, fractions: tuple[float, ...], expected: list[int]) -> None:
    assert [resolution_px(position, fractions, 32) for position in middles(steps)] == expected


@given(st.integers(1, 30), st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(1, 224))
def test_resolutions_stay_within_the_image(steps: int, fractions: list[float], side_px: int) -> None:
    for position in middles(steps):
        assert min(8, side_px) <= resolution_px(position, tuple(fractions), side_px) <= side_px


@given(st.integers(1, 300), st.integers(1, 8))
def test_each_resolution_has_an_equal_part_of_the_steps(steps: int, count: int) -> None:
    fractions = tuple(round(0.25 + 0.125 * at / count, 6) for at in range(count))
    sides = [resolution_px(position, fractions, 3200) for position in middles(steps)]
    assert sides == sorted(sides)
    for fraction in fractions:
        assert abs(sides.count(scale_side(fraction, 3200)) - steps / count) <= 1


def test_the_full_resolution_is_not_rounded() -> None:
    assert resolution_px(Fraction(1, 2), (1.0,), 29) == 29


def test_the_last_steps_are_those_of_sam() -> None:
    config = TrainConfig(sam_radius=0.02, sam_start=0.8)
    positions = middles(10)
    assert [step for step, position in enumerate(positions) if is_sam_step(position, config)] == [8, 9]
    assert all(is_sam_step(position, config.replace(sam_start=0.0)) for position in positions)
    assert not any(is_sam_step(position, config.replace(sam_start=1.0)) for position in positions)
    assert not any(is_sam_step(position, TrainConfig(sam_start=0.0)) for position in positions)


def test_step_fractions_by_hand() -> None:
    config = TrainConfig(resolutions=(0.5, 0.5, 0.75, 1.0), sam_radius=0.02, sam_start=0.6)
    expected = {(16, False): 0.5, (24, False): 0.1, (24, True): 0.15, (32, True): 0.25}
    assert step_fractions(config, 32) == pytest.approx(expected)
    assert step_fractions(config.replace(sam_radius=0.0), 32) == {
        (16, False): 0.5,
        (24, False): 0.25,
        (32, False): 0.25,
    }


@given(
    st.integers(1, 300),
    st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.02]),
    st.floats(0, 1),
)
def test_step_fractions_agree_with_the_steps(total: int, fractions: list[float], radius: float, start: float) -> None:
    config = TrainConfig(resolutions=tuple(fractions), sam_radius=radius, sam_start=start)
    predicted = step_fractions(config, 32)
    assert sum(predicted.values()) == pytest.approx(1)
    steps = [
        (resolution_px(position, config.resolutions, 32), is_sam_step(position, config)) for position in middles(total)
    ]
    for kind in {*predicted, *steps}:
        # Each stretch of one kind is off by less than a step; there are at most as many stretches as fractions.
        assert abs(steps.count(kind) - total * predicted.get(kind, 0)) <= len(fractions) + 1e-6
