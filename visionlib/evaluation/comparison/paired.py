"""Statistics of two networks on the same images: a test and intervals of the difference of their accuracies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from visionlib.evaluation.intervals import CONFIDENCE, Interval, normal_quantile

RESAMPLES = 10_000
_LEAST_VARIANCE = 1e-12
"""Lower limit: the variance is 0 at differences of -1 and 1, where rounding could make it negative."""


@dataclass(frozen=True)
class PairedCounts:
    """The 2 x 2 table of two networks on the same images.

    Attributes:
        both: images that both classify correctly.
        only_first: images that only the first classifies correctly.
        only_second: images that only the second classifies correctly.
        neither: images that both classify wrong.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def n(self) -> int:
        """Number of images."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float | None:
        """Accuracy of the second minus that of the first; None for no images."""
        return (self.only_second - self.only_first) / self.n if self.n else None


def count_pairs(is_correct_first: Bool[Tensor, "n"], is_correct_second: Bool[Tensor, "n"]) -> PairedCounts:
    """Count the images that both, one or neither of two networks classify correctly."""
    first, second = is_correct_first, is_correct_second
    return PairedCounts(
        both=int((first & second).sum()),
        only_first=int((first & ~second).sum()),
        only_second=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """P-value of McNemar's exact test, two-sided; 1 if the networks differ on no image.

    It is a binomial test: if neither network is better, each image that only one classifies correctly is as likely to
    be the first's as the second's.

    Source: McNemar 1947, doi 10.1007/BF02295996; the exact form is the sign test.
    """
    from scipy.stats import binomtest

    differing = counts.only_first + counts.only_second
    return float(binomtest(counts.only_first, differing).pvalue) if differing else 1.0


def bootstrap_interval(
    counts: PairedCounts, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval | None:
    """Percentile interval of the difference by a paired bootstrap over the images.

    Drawing n images with replacement and counting the four cells is one draw from a multinomial distribution with the
    cells' fractions, so no image is needed.

    Args:
        counts: the 2 x 2 table.
        resamples: number of draws.
        seed: of the draws.
        confidence: nominal coverage of the interval.
    Returns:
        Lower and upper bound; None for no images, (0, 0) if the networks differ on no image.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    if not counts.n:
        return None
    if counts.only_first > counts.only_second:
        # Both orders use the same draws, so that swapping the networks exactly negates the interval.
        swapped = PairedCounts(counts.both, counts.only_second, counts.only_first, counts.neither)
        low, high = bootstrap_interval(swapped, resamples=resamples, seed=seed, confidence=confidence) or (0.0, 0.0)
        return -high, -low
    fractions = np.array([counts.only_first, counts.only_second, counts.both + counts.neither]) / counts.n
    draws = np.random.default_rng(seed).multinomial(counts.n, fractions, size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / counts.n, [tail, 1 - tail])
    return float(low), float(high)


def score_interval(counts: PairedCounts, confidence: float = CONFIDENCE) -> Interval | None:
    """Tango's score interval of the difference: the differences that a score test does not reject.

    It is valid for few images, and for networks that differ on none: then it is as wide as Wilson's interval of 0 in n,
    where a bootstrap gives (0, 0).

    Returns:
        Lower and upper bound; None for no images.
    Source: Tango 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.
    """
    from scipy.optimize import brentq

    difference = counts.difference
    if difference is None:
        return None
    z = normal_quantile(confidence)

    def solve(limit: float) -> float:
        if _score(counts, limit) <= z:
            return limit
        return float(brentq(lambda tested: _score(counts, tested) - z, difference, limit, xtol=1e-15))

    return solve(-1.0), solve(1.0)


def adjust_by_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number: with no true difference, any is below 0.05 with a probability of at most 5 %.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _score(counts: PairedCounts, difference: float) -> float:
    """Score statistic: distance of the counts from their expectation under a true difference, in stds."""
    n, b, c, d = counts.n, counts.only_second, counts.only_first, difference
    # Most likely fraction of images that only the first classifies correctly: the larger root of a quadratic.
    linear = -b - c + (2 * n - b + c) * d
    root = (math.sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d))) - linear) / (4 * n)
    variance = n * (2 * root + d * (1 - d))
    return abs(b - c - n * d) / math.sqrt(max(variance, _LEAST_VARIANCE))
