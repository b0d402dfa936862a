"""`Pace`: the fraction of a training's schedules that each of its steps covers; `TimeBudget`: what it follows.

Every schedule is a function of the position, the finished fraction of the run. Without a time budget the steps cover
equal fractions. With one the number of steps to go is planned again while the run goes, see `Replanner`. Each plan is a
segment, so that position, rate and resolution are functions of the step and of what the run has recorded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from visionlib.errors import ConfigError
from visionlib.runs import Run, read_training
from visionlib.runs.training_records import BudgetRecord


class Segment(NamedTuple):
    """A plan: from its first step to the end of the run, or to the next plan, steps cover equal fractions.

    Attributes:
        first_step: step from which it holds; 0 is the first one of the run.
        position: finished fraction of the run before that step.
        steps: to go from there to the end of the run.
    """

    first_step: int
    position: float
    steps: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, by this plan."""
        return self.first_step + self.steps

    @property
    def step_length(self) -> Fraction:
        """Fraction of the run that a step covers."""
        return (1 - Fraction(self.position)) / self.steps


@dataclass(frozen=True)
class Pace:
    """The plans of a run, one after another; the last one holds to the end.

    Raises:
        ConfigError: if they are no plans that follow each other.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        firsts = [segment.first_step for segment in self.segments]
        positions = [segment.position for segment in self.segments]
        is_valid = (
            firsts[:1] == [0]
            and firsts == sorted(set(firsts))
            and positions == sorted(positions)
            and all(0 <= position < 1 for position in positions)
            and all(segment.steps >= 1 for segment in self.segments)
            and all(a.total_steps > b.first_step for a, b in zip(self.segments, self.segments[1:], strict=False))
        )
        if not is_valid:
            raise ConfigError("pace", "it is no sequence of plans", "take one that a run has recorded")

    @classmethod
    def of_steps(cls, steps: int) -> "Pace":
        """Return the pace of a number of steps that cover equal fractions."""
        return cls((Segment(0, 0.0, steps),))

    @classmethod
    def from_list(cls, values: object) -> "Pace":
        """Read a pace from JSON or a checkpoint.

        Raises:
            ConfigError: if it is none.
        """
        try:
            rows = [(int(first), float(position), int(steps)) for first, position, steps in values]  # type: ignore[attr-defined]
        except (TypeError, ValueError, OverflowError):
            rows = []
        return cls(tuple(Segment(*row) for row in rows))

    @classmethod
    def from_run(cls, run: Run) -> "Pace":
        """Read the pace of a finished run with a time budget.

        Raises:
            ConfigError: if it has none.
            RunError: if its record is damaged.
        """
        record = read_training(run)
        if record is None or record.pace is None:
            raise ConfigError("pace", f"{run.path} has none", "take a finished run with --max-seconds")
        return cls.from_list(record.pace)

    def to_list(self) -> list[list[int | float]]:
        """Return first step, position and steps to go of each plan, for JSON and checkpoints."""
        return [list(segment) for segment in self.segments]

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, by the last plan."""
        return self.segments[-1].total_steps

    def position(self, step: int) -> Fraction:
        """Return the finished fraction of the run in the middle of a step, exactly."""
        return self._advance(step, Fraction(1, 2))

    def start(self, step: int) -> Fraction:
        """Return the finished fraction of the run before a step, exactly."""
        return self._advance(step, Fraction(0))

    def replan(self, step: int, steps: int, longest: float) -> "Pace":
        """Return this pace with another number of steps to go.

        Where they are so few that each had to cover more than `longest`, and more than a step did before, the run skips
        to its last part, so that it ends with the low rates and the resolution of a whole run.

        Args:
            step: the next step.
            steps: to go, that one included.
            longest: fraction of the run.
        """
        limit = max(Fraction(longest), self._find(step).step_length)
        position = max(self.start(step), 1 - steps * limit)
        return Pace((*self.segments, Segment(step, min(float(position), math.nextafter(1.0, 0.0)), steps)))

    def _find(self, step: int) -> Segment:
        return next(segment for segment in reversed(self.segments) if segment.first_step <= step)

    def _advance(self, step: int, part: Fraction) -> Fraction:
        segment = self._find(step)
        return Fraction(segment.position) + (step - segment.first_step + part) * segment.step_length


@dataclass(frozen=True)
class TimeBudget:
    """The time for a training.

    Attributes:
        max_s: from the beginning of the measurement, and of the first step after it, to the end of the last step.
        seconds_measuring: of these, used before the first step.
        seconds_per_image: as measured there, for each resolution in pixels and whether the step is one of SAM.
    """

    max_s: float
    seconds_measuring: float
    seconds_per_image: Mapping[tuple[int, bool], float]

    def to_dict(self) -> dict[str, Any]:
        """Return every number for JSON."""
        speeds = [[side_px, is_sam, seconds] for (side_px, is_sam), seconds in self.seconds_per_image.items()]
        return {"max_seconds": self.max_s, "seconds_measuring": self.seconds_measuring, "seconds_per_image": speeds}

    @classmethod
    def of_record(cls, record: BudgetRecord) -> "TimeBudget":
        """Take a budget from a run's record."""
        speeds = {(side_px, is_sam): seconds for side_px, is_sam, seconds in record.seconds_per_image}
        return cls(record.max_seconds, record.seconds_measuring, speeds)
