"""Tests and intervals for pairs against enumeration, images really drawn, and a search of the likelihood."""

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
import torch

from visionlib.evaluation.comparison.paired import (
    PairedCounts,
    adjust_by_holm,
    bootstrap_interval,
    count_pairs,
    mcnemar_p,
    score_interval,
)
from visionlib.evaluation.intervals import wilson_interval


def cells(only_first: int, only_second: int, both: int = 0, neither: int = 0) -> PairedCounts:
    return PairedCounts(both=both, only_first=only_first, only_second=only_second, neither=neither)


@pytest.mark.parametrize(("only_first", "only_second"), list(itertools.product(range(7), range(7))))
def test_mcnemars_p_is_what_counting_all_outcomes_gives(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    gap = abs(only_first - only_second)
    outcomes = itertools.product((-1, 1), repeat=n)
    as_uneven = sum(abs(sum(outcome)) >= gap for outcome in outcomes)
    assert mcnemar_p(cells(only_first, only_second, both=5)) == pytest.approx(float(Fraction(as_uneven, 2**n)))


@pytest.mark.parametrize(("only_first", "only_second"), [(1776, 280), (510, 480), (1500, 1400), (0, 1000), (700, 700)])
def test_mcnemars_p_of_many_images_is_that_of_whole_numbers(only_first: int, only_second: int) -> None:
    n, fewer = only_first + only_second, min(only_first, only_second)
    exact = min(Fraction(1), Fraction(2 * sum(math.comb(n, k) for k in range(fewer + 1)), 2**n))
    assert mcnemar_p(cells(only_first, only_second)) == pytest.approx(float(exact), rel=1e-9)


def test_the_cells_are_counted() -> None:
    first = torch.tensor([True, True, False, False, True])
    second = torch.tensor([True, False, True, False, False])
    counts = count_pairs(first, second)
    assert counts == PairedCounts(both=1, only_first=2, only_second=1, neither=1)
    assert counts.n == 5
    assert counts.difference == pytest.approx(-0.2)


def test_the_bootstrap_is_that_of_images_drawn_one_by_one() -> None:
    counts = cells(30, 45, both=200, neither=25)
    gains = np.repeat([-1, 1, 0], [30, 45, 225])
    draws = np.random.default_rng(1).integers(0, 300, size=(20_000, 300))
    slow = np.quantile(gains[draws].mean(1), [0.025, 0.975])
    assert bootstrap_interval(counts) == pytest.approx(tuple(slow), abs=0.004)


def test_the_bootstrap_repeats_by_its_seed_and_turns_round_with_the_pair() -> None:
    counts, turned = cells(1300, 1345, both=7355), cells(1345, 1300, both=7355)
    low, high = bootstrap_interval(counts, seed=3) or (0, 0)
    assert (low, high) == bootstrap_interval(counts, seed=3)
    assert (low, high) != bootstrap_interval(counts, seed=4)
    assert bootstrap_interval(turned, seed=3) == (-high, -low)
    assert low < 45 / 10_000 < high


def test_ten_thousand_images_take_less_than_a_second() -> None:
    start = time.process_time()
    bootstrap_interval(cells(1776, 280, both=6947, neither=997), resamples=10_000)
    assert time.process_time() - start < 1


def slow_score(counts: PairedCounts, difference: float) -> float:
    """The score statistic with the constrained likelihood maximised by looking everywhere."""
    b, c, n = counts.only_second, counts.only_first, counts.n
    low, high = max(0.0, -difference), (1 - difference) / 2
    for _ in range(6):
        shares = np.linspace(low, high, 2001)
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = sum(
                np.where(count > 0, count * np.log(np.maximum(share, 0)), 0.0)
                for count, share in ((c, shares), (b, shares + difference), (n - b - c, 1 - 2 * shares - difference))
            )
        best = int(np.nanargmax(likelihood))
        low, high = shares[max(best - 1, 0)], shares[min(best + 1, 2000)]
    share = (low + high) / 2
    return float(abs(b - c - n * difference) / math.sqrt(n * (2 * share + difference - difference**2)))


@pytest.mark.parametrize(
    ("only_first", "only_second", "rest"), [(3, 7, 40), (12, 0, 30), (0, 1, 9), (154, 21, 825), (9, 9, 2), (0, 5, 0)]
)
def test_the_score_interval_ends_where_the_score_is_1_96(only_first: int, only_second: int, rest: int) -> None:
    counts = cells(only_first, only_second, both=rest)
    low, high = score_interval(counts) or (0, 0)
    assert -1 <= low <= (counts.difference or 0) <= high <= 1
    for bound in (low, high):
        if abs(bound) < 1 - 1e-9:
            assert slow_score(counts, bound) == pytest.approx(1.959964, abs=2e-3)


def test_the_score_interval_turns_round_and_is_wilsons_where_nothing_differs() -> None:
    low, high = score_interval(cells(3, 7, both=40)) or (0, 0)
    assert score_interval(cells(7, 3, both=40)) == pytest.approx((-high, -low))
    low, high = score_interval(cells(0, 0, both=25)) or (0, 0)
    wilson = wilson_interval(0, 25)
    assert wilson is not None
    assert (low, high) == pytest.approx((-wilson[1], wilson[1]))


def test_the_score_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).multinomial(60, [0.05, 0.15, 0.8], size=500)
    held = 0
    for only_first, only_second, both in draws.tolist():
        low, high = score_interval(cells(only_first, only_second, both=both)) or (0, 0)
        held += low <= 0.1 <= high
    assert 0.92 <= held / 500 <= 0.98


def test_no_image_has_no_interval() -> None:
    assert cells(0, 0).difference is None
    assert bootstrap_interval(cells(0, 0)) is None
    assert score_interval(cells(0, 0)) is None
    assert mcnemar_p(cells(0, 0)) == 1


def test_holms_adjustment_by_hand() -> None:
    # Sorted 0.01 0.02 0.03 0.04: times 4, 3, 2, 1, and never below the one before.
    assert adjust_by_holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert adjust_by_holm([0.5, 0.9]) == [1.0, 1.0]
    assert adjust_by_holm([0.2]) == [0.2]
    assert adjust_by_holm([]) == []
