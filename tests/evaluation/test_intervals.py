import math

import numpy as np
import pytest
from scipy.stats import binomtest

from visionlib.evaluation import wilson_interval
from visionlib.evaluation.intervals import mean_difference_interval, mean_interval, mean_score_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 7, 316, 10_000])
def test_ends_are_where_the_score_test_just_rejects(n: int) -> None:
    """Wilson's interval is defined by this: its ends p solve |share - p| = z sqrt(p (1 - p) / n)."""
    for successes in {0, 1, n // 2, n - 1, n}:
        interval = wilson_interval(successes, n)
        assert interval is not None
        for end in interval:
            reach = 1.959963984540054 * math.sqrt(end * (1 - end) / n)
            assert abs(successes / n - end) == pytest.approx(reach, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 1000, 10_000])
def test_they_are_scipys(n: int) -> None:
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-14)


def test_ends_at_certainty_are_exact() -> None:
    nothing, all_right = wilson_interval(0, 10), wilson_interval(10, 10)
    assert nothing is not None
    assert all_right is not None
    assert nothing[0] == 0.0
    assert all_right[1] == 1.0


def test_no_image_has_no_interval() -> None:
    assert wilson_interval(0, 0) is None


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"got {successes} of {n}"):
        wilson_interval(successes, n)


def test_the_interval_of_a_mean_by_hand() -> None:
    """Wilson's of 8 of 10 is 0.4902 to 0.9433, and that of 0 of 4 is 0 to 0.4899."""
    low, high = mean_interval([(8, 10), (0, 4)]) or (0, 0)
    assert low == pytest.approx(0.4 - 0.3098 / 2, abs=1e-4)  # nothing below the 0
    assert high == pytest.approx(0.4 + math.hypot(0.1433, 0.4899) / 2, abs=1e-4)


def test_the_interval_of_a_mean_has_the_known_limits() -> None:
    assert mean_interval([(7, 9)]) == pytest.approx(wilson_interval(7, 9))
    assert mean_interval([]) is None
    low, high = mean_interval([(20, 20), (5, 5)]) or (0, 0)
    assert 0.7 < low < 1  # the estimated variance would be 0
    assert high == 1.0
    with pytest.raises(ValueError, match="no trials"):
        mean_interval([(1, 2), (0, 0)])


@pytest.mark.parametrize("recalls", [(0.9, 0.5), (0.95, 0.8, 0.3), (0.99, 0.99)])
def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says(recalls: tuple[float, ...]) -> None:
    """Of 4000 draws of binomials of very different sizes; few values are possible where a recall of 40 images is 0.99.

    The interval by the estimated variances covers (0.99, 0.99) in 57 % of the draws, and MOVER in 92 %.
    """
    draws, sizes = np.random.default_rng(0), (400, 40, 25)[: len(recalls)]
    drawn = np.stack([draws.binomial(n, recall, 4000) for n, recall in zip(sizes, recalls, strict=True)], 1).tolist()
    intervals = [mean_interval(list(zip(row, sizes, strict=True))) or (1, 0) for row in drawn]
    covered = sum(low <= sum(recalls) / len(recalls) <= high for low, high in intervals) / 4000
    assert 0.92 < covered < 0.985


def test_scores_of_right_and_wrong_have_nearly_wilsons_interval() -> None:
    """With z for t they would have it exactly, for n - 1 images."""
    scores = [1.0] * 300 + [0.0] * 100
    assert mean_score_interval(scores) == pytest.approx(wilson_interval(300, 400), abs=5e-4)
    assert mean_score_interval([1.0] * 50) == wilson_interval(50, 50)
    assert mean_score_interval([0.0]) == wilson_interval(0, 1)
    assert mean_score_interval([]) is None


def test_scores_solved_by_hand() -> None:
    """Of 0.2, 0.4 and 0.6 the mean is 0.4, the variance 0.04, and t of 2 degrees of freedom 4.303."""
    z, t = 1.959963984540054, 4.302652729911275
    n = 3 * 0.24 / 0.04 / (t / z) ** 2
    centre = (0.4 + z * z / 2 / n) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(0.24 / n + z * z / 4 / n / n)
    assert mean_score_interval([0.2, 0.4, 0.6]) == pytest.approx((centre - reach, centre + reach), abs=1e-9)


@pytest.mark.parametrize(("n", "a", "b"), [(30, 0.5, 0.2), (30, 6, 2), (200, 0.3, 0.1)])
def test_the_mean_of_scores_is_covered_where_counting_each_prediction_is_not(n: int, a: float, b: float) -> None:
    """Each image has its own probability, and 75 predictions of it: as under corruption."""
    generator = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(1000):
        scores = generator.binomial(75, generator.beta(a, b, n)) / 75
        low, high = mean_score_interval(scores.tolist()) or (0, 0)
        covered += low <= a / (a + b) <= high
        low, high = wilson_interval(round(scores.sum() * 75), 75 * n) or (0, 0)
        naive += low <= a / (a + b) <= high
    assert 930 <= covered <= 985
    assert naive < 600


@pytest.mark.parametrize("n", [30, 100])
def test_the_mean_difference_of_dependent_scores_is_covered(n: int) -> None:
    """Images that are wrong without corruption are wrong with it; the others are right in three of five conditions."""
    generator = np.random.default_rng(1)
    covered, difference = 0, 0.9 - 0.9 * 0.6
    for _ in range(1000):
        first = generator.random(n) < 0.9
        second = np.where(first, generator.binomial(20, 0.6, n) / 20, 0)
        low, high = mean_difference_interval((first - second).tolist()) or (0, 0)
        covered += low <= difference <= high
    assert 930 <= covered <= 975


def test_differences_solved_by_hand() -> None:
    """Halved and moved to the middle they are scores; of none it is the interval of 0 in n, both ways."""
    low, high = mean_score_interval([0.6, 0.4, 0.75]) or (0, 0)
    assert mean_difference_interval([0.2, -0.2, 0.5]) == pytest.approx((2 * low - 1, 2 * high - 1))
    none = wilson_interval(0, 40)
    assert none is not None
    assert mean_difference_interval([0.0] * 40) == (-none[1], none[1])
    assert mean_difference_interval([]) is None
