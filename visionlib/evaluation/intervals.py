"""Intervals for shares: how far an accuracy of so many images can be trusted."""

import math
from statistics import NormalDist

CONFIDENCE = 0.95

Interval = tuple[float, float]
"""The lowest and the highest share."""


def wilson_interval(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of a share, without continuity correction.

    It stays within [0, 1] and is sensible for few images and for shares of 0 and 1, where the textbook interval fails.

    Args:
        successes: how many of `n`.
        n: how many in all.
        confidence: how often the interval is meant to hold the true share.
    Returns:
        The lowest and the highest share; None if `n` is 0, as nothing is known then.
    Raises:
        ValueError: unless 0 <= successes <= n.
    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be from 0 to n: got {successes} of {n}")
    if n == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Rounding may leave the closed ends 1e-17 away from where the formula puts them exactly.
    low = 0.0 if successes == 0 else max(0.0, centre - reach)
    high = 1.0 if successes == n else min(1.0, centre + reach)
    return low, high
