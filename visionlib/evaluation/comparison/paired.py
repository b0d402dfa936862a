"""Two networks on the same images: whether one is right more often, and how much more, by the images they differ on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from visionlib.evaluation.intervals import CONFIDENCE

Interval = tuple[float, float]
RESAMPLES = 10_000
_HALVINGS = 60
"""Of an interval of length 2: down to the rounding of floats."""


@dataclass(frozen=True)
class PairedCounts:
    """How often two networks are right on the same images.

    Attributes:
        both: images that both get right.
        only_first: images that only the first gets right.
        only_second: images that only the second gets right.
        neither: images that both get wrong.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def n(self) -> int:
        """Images in all."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float | None:
        """Accuracy of the second minus that of the first; None for no images."""
        return (self.only_second - self.only_first) / self.n if self.n else None


def count_pairs(is_right_first: Bool[Tensor, "n"], is_right_second: Bool[Tensor, "n"]) -> PairedCounts:
    """Count the four cells: both right, only one of them, neither."""
    first, second = is_right_first, is_right_second
    return PairedCounts(
        both=int((first & second).sum()),
        only_first=int((first & ~second).sum()),
        only_second=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """McNemar's exact test, two-sided: how often chance alone would part the images they differ on so unevenly.

    If neither is better, each image that only one gets right is as likely to be one's as the other's. The p-value is
    twice the smaller tail of that binomial distribution, at most 1; 1 if there is no such image.

    Source: McNemar 1947, doi 10.1007/BF02295996; the exact form is the sign test.
    """
    differing = counts.only_first + counts.only_second
    fewer = min(counts.only_first, counts.only_second)
    if 2 * fewer == differing:
        return 1.0
    logarithms = [
        math.lgamma(differing + 1) - math.lgamma(k + 1) - math.lgamma(differing - k + 1) for k in range(fewer + 1)
    ]
    tail = math.fsum(math.exp(value - differing * math.log(2)) for value in logarithms)
    return min(1.0, 2 * tail)


def bootstrap_interval(
    counts: PairedCounts, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval | None:
    """Percentile interval of the difference by a paired bootstrap over the images.

    Drawing n images with replacement and counting the four cells is one draw from a multinomial distribution with the
    cells' shares, so that no image is touched.

    Args:
        counts: of the four cells.
        resamples: draws.
        seed: of the draws.
        confidence: how often the interval is meant to hold the true difference.
    Returns:
        The lowest and the highest difference; None for no images. With no image that only one gets right it is (0, 0).
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    if not counts.n:
        return None
    if counts.only_first > counts.only_second:
        # The same draws for either order, so that the interval turns round exactly with it.
        turned = PairedCounts(counts.both, counts.only_second, counts.only_first, counts.neither)
        low, high = bootstrap_interval(turned, resamples=resamples, seed=seed, confidence=confidence) or (0.0, 0.0)
        return -high, -low
    shares = np.array([counts.only_first, counts.only_second, counts.both + counts.neither]) / counts.n
    draws = np.random.default_rng(seed).multinomial(counts.n, shares, size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / counts.n, [tail, 1 - tail])
    return float(low), float(high)


def score_interval(counts: PairedCounts, confidence: float = CONFIDENCE) -> Interval | None:
    """Tango's score interval of the difference: the differences that a score test does not reject.

    It stays sensible for few images, and where there is none that only one gets right: then it is as wide as Wilson's
    interval of 0 in n, while a bootstrap would give (0, 0).

    Returns:
        The lowest and the highest difference; None for no images.
    Source: Tango 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.
    """
    difference = counts.difference
    if difference is None:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def search(bound: float) -> float:
        inside, outside = difference, bound
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if _score(counts, middle) <= z:
                inside = middle
            else:
                outside = middle
        return inside

    return search(-1.0), search(1.0)


def adjust_by_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for how many were tested, so that by chance any is below 0.05 in at most 5 of 100 cases.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _score(counts: PairedCounts, difference: float) -> float:
    """Distance of the counts from what a true difference lets expect, in standard deviations."""
    n, b, c, d = counts.n, counts.only_second, counts.only_first, difference
    # Likeliest share of images that only the first gets right, given the difference: the larger root of a quadratic.
    linear = -b - c + (2 * n - b + c) * d
    root = (math.sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d))) - linear) / (4 * n)
    variance = n * (2 * root + d * (1 - d))
    distance = abs(b - c - n * d)
    return distance / math.sqrt(variance) if variance > 0 else (math.inf if distance else 0.0)
