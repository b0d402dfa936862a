"""The learning rate that a range test suggests."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

_WIDTH = 0.03
"""Std of the Gaussian that smooths the losses, as a fraction of the steps; at least `_MIN_WIDTH_STEPS`."""
_MIN_WIDTH_STEPS = 2.0
_RISE = 0.1
"""The loss has risen if it is above its minimum by this fraction of its fall,"""
_NOISE = 6.0
"""and by this number of stds of a smoothed loss."""
_HIGHEST = 2.0
"""Losses are capped at this multiple of the first ones, or a diverging loss would raise the smoothed ones before it."""


def smooth_losses(losses: Sequence[float]) -> list[float]:
    """Smooth losses with a Gaussian, which shifts nothing to later steps; its weights are normalized at the ends."""
    width = _width(len(losses))
    reach = math.ceil(4 * width)
    kernel = [math.exp(-((offset / width) ** 2) / 2) for offset in range(-reach, reach + 1)]
    smoothed = []
    for step in range(len(losses)):
        first, end = max(0, step - reach), min(len(losses), step + reach + 1)
        weights = kernel[first - step + reach : end - step + reach]
        total = sum(weight * loss for weight, loss in zip(weights, losses[first:end], strict=True))
        smoothed.append(total / sum(weights))
    return smoothed


def cap_losses(losses: Sequence[float]) -> list[float]:
    """Cap diverging losses at twice the median of the first five."""
    return [min(loss, _HIGHEST * median(losses[:5])) for loss in losses]


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, str]:
    """Suggest a peak rate: where the loss first rises again, or higher if the network still learns far beyond that.

    The loss has risen where it is above its lowest so far by a tenth of its fall, and by more than the noise between
    batches: there the network becomes unstable. A network with normalization leaves its first valley and finds another
    one at higher rates. A schedule's warm-up, which is slower than the test, goes some way towards it. So if a tenth of
    the rate at which the last valley is lowest is higher, the suggestion is the geometric mean of both. The rules that
    were compared: docs/experiments.md.

    Args:
        rates: of each step, growing.
        losses: of each step, finite.
    Returns:
        The rate, to two digits, and the rule as a sentence that goes on after "it is".
    Source: Smith 2015, arXiv:1506.01186, section 3.3, for the first rise (the rate at which the curve "slows, becomes
        ragged, or starts to fall" is a good highest one); a tenth of the lowest is fastai's `minimum`.
    """
    capped = cap_losses(losses)
    smoothed = smooth_losses(capped)
    noise = _NOISE * _robust_std(capped) / math.sqrt(2 * math.sqrt(math.pi) * _width(len(losses)))
    rise = _find_rise(smoothed, noise)
    if rise is None:
        rule = "the highest rate of the test, up to which the smoothed loss did not rise: test higher ones too"
        return _round(rates[-1]), rule
    edge, last = rates[rise], rates[_find_last_valley(smoothed, noise)]
    edge_text = f"{edge:.2g}, at which the smoothed loss has first risen again by a tenth of its fall"
    if last / 10 <= edge:
        return _round(edge), f"the rate {edge_text}"
    rule = f"the geometric mean of {edge_text}, and a tenth of {last:.2g}, at which it is lowest after that"
    return _round(math.sqrt(edge * last / 10)), rule


def _find_rise(smoothed: Sequence[float], noise: float) -> int | None:
    """Find the first step at which the loss has risen again by a tenth of its fall."""
    lowest = smoothed[0]
    for step, loss in enumerate(smoothed):
        lowest = min(lowest, loss)
        if loss > lowest + max(_RISE * (smoothed[0] - lowest), noise):
            return step
    return None


def _find_last_valley(smoothed: Sequence[float], noise: float) -> int:
    """Find the lowest step of the last valley: from the end backwards, until the loss rises as much as for a rise."""
    least = max(_RISE * (smoothed[0] - min(smoothed)), noise)
    lowest = len(smoothed) - 1
    for step in range(len(smoothed) - 1, -1, -1):
        if smoothed[step] < smoothed[lowest]:
            lowest = step
        elif smoothed[step] > smoothed[lowest] + least:
            break
    return lowest


def _width(steps: int) -> float:
    return max(_MIN_WIDTH_STEPS, _WIDTH * steps)


def _robust_std(losses: Sequence[float]) -> float:
    """Std of the losses from step to step, by the median of absolute changes, which a few outliers do not move.

    Steps between equal losses are left out, since capped losses do not change.
    """
    changes = [abs(after - before) for before, after in pairwise(losses) if after != before]
    return 1.4826 * median(changes) / math.sqrt(2) if changes else 0.0


def _round(rate: float) -> float:
    return float(f"{rate:.2g}")
