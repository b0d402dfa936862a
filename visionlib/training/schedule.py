"""Schedules as pure functions of the position, without state.

The position is the finished fraction of the run in the middle of a step, see `Pace`: (step + 0.5) / steps, unless a
time budget changed the number of steps. So neither the first nor the last step has a rate of 0. Positions are exact
fractions, so that a border in the middle of a step is the same one everywhere. In every function warmup_fraction is the
fraction of the run in which the rate rises.
"""

import math
from collections import defaultdict
from fractions import Fraction

from visionlib.training.config import TrainConfig


def learning_rate(position: Fraction, total_steps: int, config: TrainConfig) -> float:
    """Learning rate of a step, by the schedule of the settings with its peak, and its warm-up or cycles.

    Args:
        position: of the step.
        total_steps: of the run, which bound the number of cycles.
        config: the settings.
    """
    peak, warmup = config.peak_learning_rate, config.warmup_fraction
    match config.schedule:
        case "one-cycle":
            return one_cycle(position, peak, warmup)
        case "triangular":
            return triangular(position, peak, min(config.cycles, total_steps))
        case "cosine":
            return cosine(position, peak, warmup)
        case "constant":
            return constant(position, peak, warmup)


def one_cycle(position: Fraction, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Linear warm-up to the peak, then linear decay to zero.

        peak * position / warmup                while position < warmup
        peak * (1 - position) / (1 - warmup)    after that

    Source: Smith and Topin 2017, arXiv:1708.07120, with both ends at zero.
    """
    done = float(position)
    if done < warmup_fraction:
        return peak_learning_rate * done / warmup_fraction
    return peak_learning_rate * (1 - done) / (1 - warmup_fraction) if warmup_fraction < 1 else peak_learning_rate


def triangular(position: Fraction, peak_learning_rate: float, cycles: int) -> float:
    """Equal cycles, each rising linearly from zero to the peak and falling as fast.

        peak * (1 - |2 u - 1|),  where u is the fractional part of cycles * position

    The rate is 0 in a step whose middle is the border between two cycles.

    Source: Smith 2015, arXiv:1506.01186, section 3.1, with a lowest rate of zero.
    """
    return peak_learning_rate * (1 - abs(float(2 * (cycles * position % 1)) - 1))


def cosine(position: Fraction, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Linear warm-up to the peak, then half a cosine wave down to zero.

        peak * position / warmup                                              while position < warmup
        peak * (1 + cos(pi * (position - warmup) / (1 - warmup))) / 2         after that

    Source: Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts; the warm-up is Goyal et al. 2017,
        arXiv:1706.02677, section 2.2.
    """
    done = float(position)
    if done < warmup_fraction:
        return peak_learning_rate * done / warmup_fraction
    decayed = (done - warmup_fraction) / (1 - warmup_fraction) if warmup_fraction < 1 else 0.0
    return peak_learning_rate * (1 + math.cos(math.pi * decayed)) / 2


def constant(position: Fraction, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Linear warm-up to the peak, then the peak.

        peak * min(1, position / warmup)

    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2, for the warm-up.
    """
    done = float(position)
    return peak_learning_rate * done / warmup_fraction if done < warmup_fraction else peak_learning_rate


def resolution_px(position: Fraction, resolutions: tuple[float, ...], side_px: int) -> int:
    """Training resolution of a step in pixels: `resolutions`, fractions of the side, are spread evenly over the run.

    The middle of the step decides; `scale_side` rounds.
    """
    return scale_side(resolutions[int(position * len(resolutions))], side_px)


def is_sam_step(position: Fraction, config: TrainConfig) -> bool:
    """Whether a step is one of sharpness-aware minimization; its middle decides."""
    return config.sam_radius > 0 and float(position) >= config.sam_start


def is_mixing_epoch(start: float | Fraction, config: TrainConfig) -> bool:
    """Whether an epoch mixes images; the position in the middle of its first step decides."""
    return config.mix != "none" and start < config.mix_end


def step_fractions(config: TrainConfig, side_px: int, start: float = 0.0) -> dict[tuple[int, bool], float]:
    """Return the fraction of a run's steps for each resolution, with and without SAM.

    Args:
        config: the settings.
        side_px: side of the stored images.
        start: position from which on steps are counted.
    Returns:
        By resolution in pixels and whether the steps are SAM's; the fractions add up to 1.
    """
    sam_start = config.sam_start if config.sam_radius > 0 else 1.0
    fractions: defaultdict[tuple[int, bool], float] = defaultdict(float)
    count = len(config.resolutions)
    for number, resolution in enumerate(config.resolutions):
        begin, end = max(start, number / count), (number + 1) / count
        border = min(max(sam_start, begin), end)
        for is_sam, length in ((False, border - begin), (True, end - border)):
            if length > 0:
                fractions[scale_side(resolution, side_px), is_sam] += length / (1 - start)
    return dict(fractions)


def scale_side(fraction: float, side_px: int) -> int:
    """Scale a side, rounded to a multiple of 4 unless it stays whole, and at least 8, or the side if smaller."""
    return side_px if fraction == 1 else min(side_px, max(8, 4 * round(side_px * fraction / 4)))
