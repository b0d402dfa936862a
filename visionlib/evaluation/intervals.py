"""Confidence intervals of proportions, such as an accuracy, and of their mean."""

import math
from collections.abc import Sequence
from statistics import NormalDist

CONFIDENCE = 0.95

Interval = tuple[float, float]
"""Lower and upper bound."""
_LEAST_VARIANCE = 1e-15
"""Of scores; less is rounding."""


def wilson_interval(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of a proportion, without continuity correction.

    It stays within [0, 1] and is valid for few images and for proportions of 0 and 1, where the normal approximation
    fails. The formula is written out because an evaluation needs thousands of intervals, and scipy's `binomtest`, which
    gives the same within 1e-15, takes 0.7 ms for each.

    Args:
        successes: in `n` trials.
        n: number of trials.
        confidence: nominal coverage of the interval.
    Returns:
        Lower and upper bound; None if `n` is 0.
    Raises:
        ValueError: unless 0 <= successes <= n.
    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be from 0 to n: got {successes} of {n}")
    if n == 0:
        return None
    return _wilson(successes / n, n, normal_quantile(confidence))


def _wilson(proportion: float, n: float, z: float) -> Interval:
    center = (proportion + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(proportion * (1 - proportion) / n + z**2 / (4 * n**2))
    # Rounding could move a bound 1e-17 away from 0 or 1.
    low = 0.0 if proportion == 0 else max(0.0, center - reach)
    high = 1.0 if proportion == 1 else min(1.0, center + reach)
    return low, high


def mean_score_interval(scores: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of the mean of scores from 0 to 1, one for each image, such as its accuracy under many conditions.

    It is Wilson's, of as many right and wrong answers as vary like the scores. Predictions of the same image under many
    conditions depend on each other, and counting each of them would give an interval that is far too short. Scores that
    do not vary at all tell nothing of their variance: then the number of images counts.

    Args:
        scores: of images that were drawn at random.
        confidence: nominal coverage of the interval.
    Returns:
        Lower and upper bound; None for no images.
    Source: Korn and Graubard 1998, Survey Methodology 24, 193-201, with Wilson's interval.
    """
    n = len(scores)
    if not n:
        return None
    mean = min(1.0, max(0.0, math.fsum(scores) / n))
    effective = float(n)
    variance = math.fsum((score - mean) ** 2 for score in scores) / (n - 1) if n > 1 else 0.0
    z = normal_quantile(confidence)
    if variance > _LEAST_VARIANCE:
        from scipy.special import stdtrit

        wider = float(stdtrit(n - 1, (1 + confidence) / 2)) / z  # the variance is estimated
        effective = n * mean * (1 - mean) / variance / wider**2
    return _wilson(mean, effective, z)


def mean_difference_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of the mean of differences from -1 to 1, one for each image, such as that of its two scores.

    It is that of the scores (1 + difference) / 2. Where no image differs, it is as wide as Wilson's interval of 0 in n.

    Args:
        differences: of images that were drawn at random.
        confidence: nominal coverage of the interval.
    Returns:
        Lower and upper bound; None for no images.
    """
    if not any(differences):
        none = wilson_interval(0, len(differences), confidence)
        return None if none is None else (-none[1], none[1])
    interval = mean_score_interval([(1 + difference) / 2 for difference in differences], confidence)
    return None if interval is None else (2 * interval[0] - 1, 2 * interval[1] - 1)


def mean_interval(counts: Sequence[tuple[int, int]], confidence: float = CONFIDENCE) -> Interval | None:
    """Interval of the unweighted mean of independent proportions, such as the balanced accuracy.

    The method of variance estimates recovery (MOVER) adds the distances from each proportion to the bounds of its
    Wilson interval in quadrature. So it does not shrink to a point where proportions are 0 or 1, unlike one by the
    estimated variances of the binomials. Of one proportion it is the Wilson interval.

    Args:
        counts: successes and number of trials of each proportion.
        confidence: nominal coverage of the interval.
    Returns:
        Lower and upper bound; None for no proportions.
    Raises:
        ValueError: unless 0 <= successes <= n, and n > 0.
    Source: Zou and Donner 2008, doi 10.1002/sim.3095.
    """
    below, above, total = [], [], []
    for successes, n in counts:
        interval = wilson_interval(successes, n, confidence)
        if interval is None:
            raise ValueError("a proportion of no trials has no interval")
        total.append(successes / n)
        below.append(total[-1] - interval[0])
        above.append(interval[1] - total[-1])
    if not total:
        return None
    mean = math.fsum(total) / len(total)
    return max(0.0, mean - math.hypot(*below) / len(total)), min(1.0, mean + math.hypot(*above) / len(total))


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Number of stds on either side of the mean that hold a fraction `confidence` of a normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def as_list(interval: Interval | None) -> list[float] | None:
    """Return an interval as plain values for JSON."""
    return None if interval is None else list(interval)
