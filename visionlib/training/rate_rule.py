"""The rule by which a range test suggests a learning rate."""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import median_abs_deviation

_SMOOTHING_FRACTION = 0.03
"""Std of the Gaussian that smooths the losses, as a fraction of the steps; at least `_MIN_SMOOTHING_STEPS`."""
_MIN_SMOOTHING_STEPS = 2.0
_RISE_FRACTION = 0.1
"""A rise of the loss is at least this fraction of its fall before,"""
_RISE_STDS = 6.0
"""and at least this number of stds of a smoothed loss."""
_CAP_FACTOR = 2.0
"""Losses are capped at this factor times the first ones: a divergence would smear into the steps before it."""


def smooth_losses(losses: Sequence[float]) -> list[float]:
    """Smooth losses by a Gaussian centered on each step, renormalized at both ends."""
    std = _smoothing_steps(len(losses))
    sums, weights = (
        gaussian_filter1d(values, std, mode="constant", radius=math.ceil(4 * std))
        for values in (np.asarray(losses, dtype=float), np.ones(len(losses)))
    )
    return [float(loss) for loss in sums / weights]


def cap_losses(losses: Sequence[float]) -> list[float]:
    """Cap losses that diverge at twice the first losses."""
    return [min(loss, _CAP_FACTOR * median(losses[:5])) for loss in losses]


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, str]:
    """Suggest a peak rate: where the loss first rises again, or higher if the network learns far beyond that.

    The loss has risen where it exceeds its minimum so far by a tenth of its fall, and by more than the noise between
    batches: there the training becomes unstable. A network with normalization leaves its first valley there and finds
    another one at higher rates. The warm-up of a schedule, which is slower than the test, takes it some way there. So
    if a tenth of the rate at the minimum of the last valley is higher, the suggestion is the geometric mean of both.
    Rules that were compared: docs/experiments.md.

    Args:
        rates: of each step, growing.
        losses: of each step, finite.
    Returns:
        The rate, to two digits, and the rule as the end of a sentence that begins with "it is".
    Source: Smith 2015, arXiv:1506.01186, section 3.3, for the first rise (the rate at which the curve "slows, becomes
        ragged, or starts to fall" is a good highest one); a tenth of the lowest is fastai's `minimum`.
    """
    capped = cap_losses(losses)
    smoothed = smooth_losses(capped)
    noise = _RISE_STDS * _step_std(capped) / math.sqrt(2 * math.sqrt(math.pi) * _smoothing_steps(len(losses)))
    rise = _find_rise(smoothed, noise)
    if rise is None:
        rule = "the highest rate of the test, up to which the smoothed loss did not rise: test higher ones too"
        return _round(rates[-1]), rule
    edge, last = rates[rise], rates[_find_last_valley(smoothed, noise)]
    first_rise = f"{edge:.2g}, at which the smoothed loss has first risen again by a tenth of its fall"
    if last / 10 <= edge:
        return _round(edge), f"the rate {first_rise}"
    rule = f"the geometric mean of {first_rise}, and a tenth of {last:.2g}, at which it is lowest after that"
    return _round(math.sqrt(edge * last / 10)), rule


def _find_rise(smoothed: Sequence[float], noise: float) -> int | None:
    """Return the first step at which the loss has risen again by a tenth of its fall."""
    lowest = smoothed[0]
    for step, loss in enumerate(smoothed):
        lowest = min(lowest, loss)
        if loss > lowest + max(_RISE_FRACTION * (smoothed[0] - lowest), noise):
            return step
    return None


def _find_last_valley(smoothed: Sequence[float], noise: float) -> int:
    """Return the minimum of the last valley, searched backwards from the end up to the first rise."""
    least = max(_RISE_FRACTION * (smoothed[0] - min(smoothed)), noise)
    lowest = len(smoothed) - 1
    for step in range(len(smoothed) - 1, -1, -1):
        if smoothed[step] < smoothed[lowest]:
            lowest = step
        elif smoothed[step] > smoothed[lowest] + least:
            break
    return lowest


def _smoothing_steps(steps: int) -> float:
    return max(_MIN_SMOOTHING_STEPS, _SMOOTHING_FRACTION * steps)


def _step_std(losses: Sequence[float]) -> float:
    """Robust std of a loss between steps, from the median absolute change.

    Changes of zero are left out: capped losses do not change.
    """
    changes = np.diff(losses)
    changes = changes[changes != 0]
    if not len(changes):
        return 0.0
    return float(median_abs_deviation(changes, center=lambda values, axis: 0.0, scale="normal")) / math.sqrt(2)


def _round(rate: float) -> float:
    return float(f"{rate:.2g}")
