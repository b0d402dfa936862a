import math

import pytest
from scipy.stats import binomtest

from visionlib.evaluation import wilson_interval


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
