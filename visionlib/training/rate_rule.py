"""The rule by which a range test suggests a learning rate.

It has two readings. Where there are many losses at close rates, the changes between steps are noise, and the rise of
the loss is located within a small factor of the rate. Where there are few, the changes are the trend itself, and a rise
would be taken for noise. There the noise is measured with the trend removed, and the suggestion is a rate before the
rise, or none.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import gaussian_filter1d
from scipy.stats import median_abs_deviation

_SMOOTHING_FRACTION = 0.03
"""Std of the Gaussian that smooths the losses, as a fraction of the steps; at least `_MIN_SMOOTHING_STEPS`."""
_MIN_SMOOTHING_STEPS = 2.0
_RISE_FRACTION = 0.1
"""A rise of the loss is at least this fraction of its fall before,"""
_RISE_STDS = 6.0
"""and at least this number of stds of a smoothed loss,"""
_CAUTIOUS_RISE_STDS = 2.0
"""or this one where losses are few: a rise that is seen too early is safe, one that is missed is not."""
_CAP_FACTOR = 2.0
"""Losses are capped at this factor times the first ones: a divergence would smear into the steps before it."""
_MANY_LOSSES = 40
_CLOSE_RATIO = 1.2
"""Largest ratio of neighboring rates that are close. It is 1.1 for 100 steps of exponential growth from 0.001 to 10."""
_FAR_RATIO = 2.5
"""Between neighboring rates further apart the loss could rise and fall again unseen."""
_MIN_LOSSES_BEFORE_RISE = 5
_SOUND_STEPS = 100
"""Steps of exponential growth with which the rule was measured."""
_NO_RISE = "the highest rate of the test, up to which the smoothed loss did not rise: test higher ones too"


def smooth_losses(losses: Sequence[float]) -> list[float]:
    """Smooth losses by a Gaussian centered on each step, renormalized at both ends."""
    std = _smoothing_steps(len(losses))
    sums, weights = (
        gaussian_filter1d(values, std, mode="constant", radius=math.ceil(4 * std))
        for values in (np.asarray(losses, dtype=float), np.ones(len(losses)))
    )
    return [float(loss) for loss in sums / weights]


def cap_losses(losses: Sequence[float]) -> list[float]:
    """Cap losses that diverge, those that are not finite included, at twice the first finite ones."""
    cap = _CAP_FACTOR * median([loss for loss in losses if math.isfinite(loss)][:5])
    return [min(cap, loss) for loss in losses]  # in this order NaN becomes the cap


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """Suggest a peak rate: where the loss first rises again, or higher if the network learns far beyond that.

    The loss has risen where it exceeds its minimum so far by a tenth of its fall, and by more than the noise between
    batches: there the training becomes unstable. A network with normalization leaves its first valley there and finds
    another one at higher rates. The warm-up of a schedule, which is slower than the test, takes it some way there. So
    if a tenth of the rate at the minimum of the last valley is higher, the suggestion is the geometric mean of both.
    Rules that were compared: docs/experiments.md.

    With few losses, rates far apart, or a loss that is not finite, the suggestion is the minimum before the first rise.
    There is none where too few losses lie before it, where a rise could hide between two rates or in the noise, or
    where the loss diverged without a rise before.

    Args:
        rates: of each step, growing.
        losses: of each step, one of them finite; a loss that is not finite is a divergence.
    Returns:
        The rate, to two digits, and the rule as the end of a sentence that begins with "it is". Or None, and a sentence
        with the reason and the test to make.
    Source: Smith 2015, arXiv:1506.01186, section 3.3, for the first rise (the rate at which the curve "slows, becomes
        ragged, or starts to fall" is a good highest one); a tenth of the lowest is fastai's `minimum`.
    """
    capped = cap_losses(losses)
    smoothed = smooth_losses(capped)
    if len(losses) < _MANY_LOSSES or not _has_close_rates(rates) or not all(map(math.isfinite, losses)):
        return _suggest_cautiously(rates, losses, capped, smoothed)
    noise = _RISE_STDS * _smoothed_std(_step_std(capped), len(losses))
    rise = _find_rise(smoothed, noise)
    if rise is None:
        if _find_divergence(losses) == len(losses) - 1:
            return None, _decline(rates, "the loss diverged, and no rise before that stands out of its noise")
        return _round(rates[-1]), _NO_RISE
    edge, last = rates[rise], rates[_find_last_valley(smoothed, noise)]
    first_rise = f"{edge:.2g}, at which the smoothed loss has first risen again by a tenth of its fall"
    if last / 10 <= edge:
        return _round(edge), f"the rate {first_rise}"
    rule = f"the geometric mean of {first_rise}, and a tenth of {last:.2g}, at which it is lowest after that"
    return _round(math.sqrt(edge * last / 10)), rule


def plan_next_test(rates: Sequence[float]) -> dict[str, float]:
    """Return arguments of `find_learning_rate` for a test from which more can be told than from these rates."""
    if not _has_close_rates(rates):
        return {"steps": _SOUND_STEPS}
    return {"steps": max(_SOUND_STEPS, 2 * len(rates)), "lowest": _round(rates[0] / 10)}


def _suggest_cautiously(
    rates: Sequence[float], losses: Sequence[float], capped: Sequence[float], smoothed: Sequence[float]
) -> tuple[float | None, str]:
    """Suggest the minimum before the first rise, or none; see `suggest_rate`."""
    for low, high in pairwise(rates):
        if high > _FAR_RATIO * low:
            return None, _decline(rates, f"between its rates {low:.2g} and {high:.2g} a rise would not be seen")
    std = _smoothed_std(_detrended_std(capped), len(losses))
    found = (_find_rise(smoothed, _CAUTIOUS_RISE_STDS * std), _find_divergence(losses))
    rise = min((step for step in found if step is not None), default=None)
    before = smoothed[:rise]
    lowest = min(range(len(before)), key=before.__getitem__, default=0)
    if lowest + 1 < _MIN_LOSSES_BEFORE_RISE:
        return None, _decline(rates, f"only {lowest + 1} of its losses lie before the rise, the lowest one included")
    # The next steps below the minimum are as good within the noise: the one whose own loss is lowest is taken.
    near = range(lowest - round(_MIN_SMOOTHING_STEPS), lowest + 1)
    suggestion = rates[min(near, key=capped.__getitem__)]
    if rise is not None:
        seen = f"a rate at the lowest smoothed loss before its first rise, which is seen from {rates[rise]:.2g} on"
        return _round(suggestion), seen
    if std > _RISE_FRACTION * (smoothed[0] - smoothed[lowest]):
        return None, _decline(rates, "its noise would hide a rise by a tenth of its fall")
    if suggestion == rates[-1]:
        return _round(suggestion), _NO_RISE
    return _round(suggestion), "a rate at the lowest smoothed loss, after which it did not rise: test higher ones too"


def _decline(rates: Sequence[float], reason: str) -> str:
    following = plan_next_test(rates)
    start = f", beginning at {following['lowest']:g} or below" if "lowest" in following else ""
    return f"too few steps to tell, {reason}: take at least {following['steps']} steps of exponential growth{start}"


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


def _find_divergence(losses: Sequence[float]) -> int | None:
    """Return the first step whose loss is twice that of the untrained network, or not finite."""
    highest = _CAP_FACTOR * max(losses[:2])
    return next((step for step, loss in enumerate(losses) if not loss <= highest), None)


def _has_close_rates(rates: Sequence[float]) -> bool:
    return all(high <= _CLOSE_RATIO * low for low, high in pairwise(rates))


def _smoothing_steps(steps: int) -> float:
    return max(_MIN_SMOOTHING_STEPS, _SMOOTHING_FRACTION * steps)


def _smoothed_std(step_std: float, steps: int) -> float:
    """Std of a smoothed loss, from that of a loss."""
    return step_std / math.sqrt(2 * math.sqrt(math.pi) * _smoothing_steps(steps))


def _step_std(losses: Sequence[float]) -> float:
    """Robust std of a loss between steps, from the median absolute change."""
    return _median_size(np.diff(losses)) / math.sqrt(2)


def _detrended_std(losses: Sequence[float]) -> float:
    """Robust std of a loss between steps, from the median absolute change of its changes: free of a linear trend."""
    return _median_size(np.diff(losses, 2)) / math.sqrt(6)


def _median_size(changes: Float64[np.ndarray, "_n"]) -> float:
    """Robust std of values around zero. Zeros are left out: capped losses do not change."""
    changes = changes[changes != 0]
    if not len(changes):
        return 0.0
    return float(median_abs_deviation(changes, center=lambda values, axis: 0.0, scale="normal"))


def _round(rate: float) -> float:
    return float(f"{rate:.2g}")
