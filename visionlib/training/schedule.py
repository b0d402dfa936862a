"""Schedules as pure functions: nothing here has a state, so any step can be asked for alone.

Learning rates are those at the middle of a step, where position = (step + 0.5) / total_steps is the share of the run
that is done. So no step has a rate of 0 because it is the first or the last one.
"""

import math
from collections import defaultdict

from visionlib.training.config import TrainConfig


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """Learning rate of a step, by the schedule of the settings.

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        config: tells the schedule, its peak, and its warm-up or its cycles.
    """
    peak, warmup = config.peak_learning_rate, config.warmup_fraction
    match config.schedule:
        case "one-cycle":
            return one_cycle(step, total_steps, peak, warmup)
        case "triangular":
            return triangular(step, total_steps, peak, config.cycles)
        case "cosine":
            return cosine(step, total_steps, peak, warmup)
        case "constant":
            return constant(step, total_steps, peak, warmup)


def one_cycle(step: int, total_steps: int, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Rate of a straight line up to the peak, then a straight line down to nothing.

        peak * position / warmup                while position < warmup
        peak * (1 - position) / (1 - warmup)    after that

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        peak_learning_rate: the highest rate.
        warmup_fraction: share of the steps in which it rises.
    Source: Smith and Topin 2017, arXiv:1708.07120, with both ends at zero.
    """
    position = (step + 0.5) / total_steps
    if position < warmup_fraction:
        return peak_learning_rate * position / warmup_fraction
    return peak_learning_rate * (1 - position) / (1 - warmup_fraction) if warmup_fraction < 1 else peak_learning_rate


def triangular(step: int, total_steps: int, peak_learning_rate: float, cycles: int) -> float:
    """Rate of equal cycles, each a straight line up from nothing to the peak and an equal one down.

        peak * (1 - |2 u - 1|),  where u is the fractional part of cycles * position

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        peak_learning_rate: the highest rate.
        cycles: how many there are; at most as many as there are steps.
    Returns:
        The rate; it is 0 in a single step where the turn between two cycles falls into the middle of it.
    Source: Smith 2015, arXiv:1506.01186, section 3.1, with a lowest rate of zero.
    """
    # In whole numbers, so that a turn in the middle of a step is one exactly.
    place = min(cycles, total_steps) * (2 * step + 1) % (2 * total_steps)
    return peak_learning_rate * (1 - abs(place / total_steps - 1))


def cosine(step: int, total_steps: int, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Rate of a straight line up to the peak, then half a wave of the cosine down to nothing.

        peak * position / warmup                                              while position < warmup
        peak * (1 + cos(pi * (position - warmup) / (1 - warmup))) / 2         after that

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        peak_learning_rate: the highest rate.
        warmup_fraction: share of the steps in which it rises.
    Source: Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts; the warm-up is Goyal et al. 2017,
        arXiv:1706.02677, section 2.2.
    """
    position = (step + 0.5) / total_steps
    if position < warmup_fraction:
        return peak_learning_rate * position / warmup_fraction
    done = (position - warmup_fraction) / (1 - warmup_fraction) if warmup_fraction < 1 else 0.0
    return peak_learning_rate * (1 + math.cos(math.pi * done)) / 2


def constant(step: int, total_steps: int, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Rate of a straight line up to the peak, which is kept from then on.

        peak * min(1, position / warmup)

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        peak_learning_rate: the highest rate.
        warmup_fraction: share of the steps in which it rises.
    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2, for the warm-up.
    """
    position = (step + 0.5) / total_steps
    return peak_learning_rate * position / warmup_fraction if position < warmup_fraction else peak_learning_rate


def resolution_px(step: int, total_steps: int, resolutions: tuple[float, ...], side_px: int) -> int:
    """Image side to train a step at: the schedule's shares are spread evenly over the steps.

    Args:
        step: 0 is the first step; its middle decides.
        total_steps: steps of the whole run.
        resolutions: shares of the side, in order.
        side_px: side of the stored images.
    Returns:
        Pixels, see `share_px`.
    """
    # In whole numbers: the floor of (step + 1/2) / total_steps * len(resolutions).
    return share_px(resolutions[(2 * step + 1) * len(resolutions) // (2 * total_steps)], side_px)


def is_uphill(step: int, total_steps: int, config: TrainConfig) -> bool:
    """Tell whether a step learns from uphill of its weights, see `sharpness`; its middle decides.

    Args:
        step: 0 is the first step.
        total_steps: steps of the whole run.
        config: tells how far uphill, and from which share of the steps on.
    """
    return config.sam_radius > 0 and (step + 0.5) / total_steps >= config.sam_start


def shares_of_steps(config: TrainConfig, side_px: int) -> dict[tuple[int, bool], float]:
    """Give the share of a run's steps for each resolution, and whether they learn from uphill of their weights.

    Args:
        config: the settings.
        side_px: side of the stored images.
    Returns:
        For each kind of step that there is its share; they add up to 1.
    """
    start = config.sam_start if config.sam_radius > 0 else 1.0
    shares: defaultdict[tuple[int, bool], float] = defaultdict(float)
    count = len(config.resolutions)
    for at, share in enumerate(config.resolutions):
        begin, end = at / count, (at + 1) / count
        turn = min(max(start, begin), end)
        for uphill, length in ((False, turn - begin), (True, end - turn)):
            if length > 0:
                shares[share_px(share, side_px), uphill] += length
    return dict(shares)


def share_px(share: float, side_px: int) -> int:
    """Give a share of a side, rounded to a multiple of 4 unless it is whole, and at least 8, or the side if smaller."""
    return side_px if share == 1 else min(side_px, max(8, 4 * round(side_px * share / 4)))
