"""Plan the steps of a training again while it goes, so that it ends in time on a machine that changes its speed.

Requirements:
- It ends in time, on a machine that becomes busy, stalls, or turns out faster, in little more than a step's time.
- A short stall must not be taken for a slow machine, which would end the run too early.
- However little time is left, the run goes through the end of its schedules.
- The clock decides nothing but the number of steps to go, and the run records that in its `Pace`.
"""

import math
from collections.abc import Mapping

from visionlib.training.checkpoint import Progress
from visionlib.training.config import TrainConfig
from visionlib.training.job import TrainingJob
from visionlib.training.schedule import step_fractions

_MARGIN = 0.02
"""Fraction of the time that a plan leaves over."""
_OVERTIME = 0.05
"""Fraction of the time that may be used in addition where else too few steps were left for the end of the schedules."""
_TOLERANCE = 0.03
"""A plan is kept whose number of steps to go is right to this fraction."""
_CHECK_FRACTION, _LONGEST_CHECK_S = 0.02, 5.0
"""Time between two checks of the plan: a fraction of the time left, and at most this."""
_MEMORY_FRACTION = 0.1
"""Steps are forgotten, exponentially, in this fraction of the time left."""
_FIRST_WEIGHT = 0.02
"""Weight of the speed before the start, in seconds, as a fraction of the time."""
_MOST_SLOWDOWN = 8.0
"""Between two checks steps count as at most so many times slower than before: a longer time is a stall."""
_LONGEST_STEP = 0.1
"""Largest fraction of the schedules that a step covers, unless there were as few steps from the start."""
MOST_EPOCHS = 1000
"""More epochs never helped."""


def longest_step(config: TrainConfig) -> float:
    """Return the largest fraction of the schedules for a step: none of the resolutions is then left out."""
    return min(_LONGEST_STEP, 1 / len(config.resolutions))


def mean_step_seconds(
    job: TrainingJob, seconds_per_image: Mapping[tuple[int, bool], float], start: float = 0.0
) -> float:
    """Return the mean time of the steps from a position to the end of the run.

    Args:
        job: its kinds of steps are spread over any number of steps, see `step_fractions`.
        seconds_per_image: for each kind.
        start: position.
    """
    fractions = step_fractions(job.config, job.split.image_size[0], start)
    return job.images_per_step * sum(seconds_per_image[kind] * fraction for kind, fraction in fractions.items())


class Replanner:
    """Measure the steps of a run that has a time budget, and say how many of them are still to go.

    Args:
        job: with a time budget.
        progress: of the run; its `slowdown` is updated.
    """

    def __init__(self, job: TrainingJob, progress: Progress) -> None:
        assert job.budget is not None
        self._job, self._progress, self._budget = job, progress, job.budget
        self._weight_s = _FIRST_WEIGHT * job.budget.max_s
        self._expected_s, self._checked_s = 0.0, self._busy_s

    def count_step(self, side_px: int, is_sam: bool) -> None:
        """Count a step that was taken since the last check."""
        costs = self._budget.seconds_per_image
        self._expected_s += costs.get((side_px, is_sam), max(costs.values())) * self._job.images_per_step

    def is_due(self) -> bool:
        """Whether it is time to check the plan; a GPU may lie behind the clock by the steps that it has yet to take."""
        pause = min(_LONGEST_CHECK_S, _CHECK_FRACTION * self._left_s(1 - _MARGIN))
        return max(self._busy_s - self._checked_s, self._expected_s * self._progress.slowdown) >= pause

    def plan(self) -> int:
        """Return the new number of steps to go, or 0 to keep the plan; all steps before must be finished."""
        self._measure()
        job, pace = self._job, self._progress.pace or self._job.pace
        step = job.count_steps(self._progress.epoch, self._progress.steps)
        start = float(pace.start(step))
        step_s = self._progress.slowdown * mean_step_seconds(job, self._budget.seconds_per_image, start)
        step_s += self._progress.seconds_paused / max(1, len(self._progress.history)) / job.steps_per_epoch
        whole = math.ceil((1 - start) / longest_step(job.config))
        # One step less than there is overtime for: it may turn out slower than the last ones.
        with_overtime = min(whole, int(self._left_s(1 + _OVERTIME) / step_s) - 1)
        planned, fitting = pace.total_steps - step, self._left_s(1 - _MARGIN) / step_s
        # Steps are added only where half a step more would fit: they cannot be taken back at the very end.
        in_time = int(fitting) if fitting < planned else max(planned, int(fitting - 0.5))
        steps = min(max(1, in_time, with_overtime), max(1, MOST_EPOCHS * job.steps_per_epoch - step))
        return steps if abs(steps - planned) > _TOLERANCE * planned else 0

    @property
    def _busy_s(self) -> float:
        """Time of the steps alone, without what lies between epochs."""
        return self._progress.seconds_spent - self._progress.seconds_paused

    def _left_s(self, fraction: float) -> float:
        return self._budget.max_s * fraction - self._budget.seconds_measuring - self._progress.seconds_spent

    def _measure(self) -> None:
        """Update the slowdown by the steps since the last check."""
        progress, now = self._progress, self._busy_s
        expected_s = max(self._expected_s, 1e-9)
        taken_s = min(now - self._checked_s, _MOST_SLOWDOWN * progress.slowdown * expected_s)
        memory_s = max(_MEMORY_FRACTION * self._left_s(1 - _MARGIN), 1e-9)
        # The sums of times taken and times expected, both with exponentially decaying weights.
        weight_s = self._weight_s * math.exp(-taken_s / memory_s)
        self._weight_s = weight_s + expected_s
        progress.slowdown = (weight_s * progress.slowdown + taken_s) / self._weight_s
        self._expected_s, self._checked_s = 0.0, now
