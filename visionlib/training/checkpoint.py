"""What an exact resume needs, written beside the run while it trains: `resume.pt`."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.errors import RunError
from visionlib.runs import Run, replacing
from visionlib.training.averaging import WeightAverage
from visionlib.training.world import ALONE, World

_LARGEST_COST = 0.01
"""Share of the time that checkpoints may take: a slow disk makes them rarer, not the training slower."""

_SAVED = ("epoch", "steps", "seconds", "history", "seconds_startup")
"""What all processes have in common, besides the weights."""
_OWN = ("loss_sum", "correct")
"""What each of several processes has to itself, besides its normalisation statistics."""


@dataclass
class Progress:
    """How far a training has come; everything else follows from the settings.

    Attributes:
        epoch: epochs that are finished.
        steps: steps of the next epoch that are done.
        loss_sum: over the images of those steps that this process was shown.
        correct: images of those that were right.
        seconds: time that those steps took.
        history: a record for each finished epoch.
        seconds_startup: time in which steps were recorded or compiled, before the first one.
        seconds_before: all time from the beginning to the checkpoint that this process goes on from.
        started: when this process began, by its own clock.
    """

    loss_sum: Tensor
    correct: Tensor
    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds_startup: float = 0.0
    seconds_before: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds_total(self) -> float:
        """All time of the training up to now, but for that in which it was interrupted."""
        return self.seconds_before + time.perf_counter() - self.started

    def finish_epoch(self, record: dict[str, Any]) -> None:
        """Add an epoch's record, and begin the next one."""
        self.history.append(record)
        self.epoch, self.steps, self.seconds = self.epoch + 1, 0, 0.0
        self.loss_sum, self.correct = torch.zeros_like(self.loss_sum), torch.zeros_like(self.correct)


class Checkpointer:
    """Write checkpoints every so many seconds, and rarer where writing one takes long.

    Args:
        run: the run that trains.
        interval_s: seconds between checkpoints; 0 writes one at the end and when interrupted alone.
        world: the processes that train together; the first one writes.
    """

    def __init__(self, run: Run, interval_s: float, world: World = ALONE) -> None:
        self._run, self._interval_s, self._world = run, interval_s, world
        self._last, self._cost_s = time.perf_counter(), 0.0

    def is_due(self) -> bool:
        """Tell whether it is time for the next one."""
        pause = max(self._interval_s, self._cost_s / _LARGEST_COST)
        return self._interval_s > 0 and time.perf_counter() - self._last >= pause

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage, progress: Progress
    ) -> None:
        """Write one in the place of the last, whole or not at all; all processes must come here at the same step."""
        started = time.perf_counter()
        own = {
            "statistics": dict(model.named_buffers()),
            "average_statistics": average.statistics(),
            **{name: getattr(progress, name) for name in _OWN},
        }
        processes = self._world.collect(own)
        if self._world.is_first:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": {
                    **{name: getattr(progress, name) for name in _SAVED},
                    "seconds_before": progress.seconds_total,
                },
                "average": average.state(),
                "processes": processes,
            }
            with replacing(self._run.resume) as temporary:
                torch.save(state, temporary)
        self._last = time.perf_counter()
        self._cost_s = self._last - started


def load_checkpoint(
    run: Run, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage, device: str, world: World
) -> Progress:
    """Put a model, its optimiser and its average back to where the run's last checkpoint was.

    Without one they stay as they are.

    Raises:
        RunError: if the checkpoint is damaged, or of another network.
    """
    begun = Progress(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))
    if not run.resume.is_file():
        return begun
    try:
        state = torch.load(run.resume, map_location=device, weights_only=True)
        own = state["processes"][world.rank]
        model.load_state_dict({**state["model"], **own["statistics"]})
        optimizer.load_state_dict(state["optimizer"])
        average.load(state.get("average", []), own.get("average_statistics", []))
        return Progress(**state["progress"], **{name: own[name] for name in _OWN})
    except Exception as error:  # damaged files bring a dozen kinds of errors out of torch.load
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(run.resume, f"cannot be resumed from ({text})", "remove it, and train again") from error
