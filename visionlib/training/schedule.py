"""Schedules as pure functions: nothing here has a state, so any step can be asked for alone."""


def one_cycle(step: int, total_steps: int, peak_learning_rate: float, warmup_fraction: float) -> float:
    """Learning rate of a step: a straight line up to the peak, then a straight line down to almost nothing.

    Args:
        step: 0 is the first step; the rate is that at the middle of the step, so that no step has a rate of 0.
        total_steps: steps of the whole run.
        peak_learning_rate: the highest rate.
        warmup_fraction: share of the steps in which it rises.
    Source: Smith and Topin 2017, arXiv:1708.07120, with both ends at zero.
    """
    position = (step + 0.5) / total_steps
    if position < warmup_fraction:
        return peak_learning_rate * position / warmup_fraction
    return peak_learning_rate * (1 - position) / (1 - warmup_fraction) if warmup_fraction < 1 else peak_learning_rate


def resolution_px(epoch: int, epochs: int, resolutions: tuple[float, ...], side_px: int) -> int:
    """Image side to train an epoch at: the schedule's shares are spread evenly over the epochs.

    Args:
        epoch: 0 is the first.
        epochs: epochs of the whole run.
        resolutions: shares of the side, in order; with fewer epochs than shares the last epoch still takes the last.
        side_px: side of the stored images.
    Returns:
        Pixels, rounded to a multiple of 4 where it is not the whole side, and at least 8 (or the side, if smaller).
    """
    share = resolutions[((epoch + 1) * len(resolutions) - 1) // epochs]
    return side_px if share == 1 else min(side_px, max(8, 4 * round(side_px * share / 4)))
