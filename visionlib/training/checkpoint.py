"""Checkpoints: everything that an exact resume needs, in `resume.pt`."""

import io
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.errors import RunError
from visionlib.runs import Run, replacing
from visionlib.runs.files import has_broken_seal, seal_file
from visionlib.training.averaging import WeightAverage
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.pace import Pace

_MAX_TIME_FRACTION = 0.01
"""Of the training, for checkpoints: a slow disk makes them rarer, not the training slower."""

_KEPT = (
    "loss_sum",
    "correct",
    "epoch",
    "steps",
    "seconds",
    "history",
    "seconds_startup",
    "seconds_paused",
    "seconds_to_last_step",
    "slowdown",
)
"""Fields of the progress that a checkpoint holds as they are."""


@dataclass
class Progress:
    """How far a training has come; everything else follows from the settings.

    Attributes:
        epoch: epochs that are finished.
        steps: steps of the next epoch that are done.
        loss_sum: over the images of those steps.
        correct: correct predictions among them.
        seconds: time that those steps took.
        history: a record for each finished epoch.
        seconds_startup: time in which steps were recorded or compiled, before the first one.
        seconds_before: all time from the beginning to the checkpoint that this process goes on from.
        seconds_paused: time between epochs, for evaluation and history.
        seconds_to_last_step: time from the first step to the end of the last finished epoch's last one.
        pace: of the run up to now; None for that of the job.
        slowdown: with a time budget, how many times slower steps are than measured before the first one.
        started: start of this process, by its own clock.
    """

    loss_sum: Tensor
    correct: Tensor
    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds_startup: float = 0.0
    seconds_before: float = 0.0
    seconds_paused: float = 0.0
    seconds_to_last_step: float = 0.0
    pace: Pace | None = None
    slowdown: float = 1.0
    started: float = field(default_factory=lambda: time.perf_counter())

    @property
    def seconds_total(self) -> float:
        """Time of the training up to now, without interruptions."""
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def seconds_spent(self) -> float:
        """Time since the first step, without interruptions and the start-up after them."""
        return self.seconds_total - self.seconds_startup

    def finish_epoch(self, record: dict[str, Any]) -> None:
        """Add an epoch's record, and begin the next one."""
        self.history.append(record)
        self.epoch, self.steps, self.seconds = self.epoch + 1, 0, 0.0
        self.loss_sum, self.correct = torch.zeros_like(self.loss_sum), torch.zeros_like(self.correct)


class Checkpointer:
    """Write checkpoints at an interval, which grows where writing one takes long.

    Args:
        run: the run that trains.
        interval_s: seconds between checkpoints; 0 writes one only when interrupted.
        group: the processes that train together; the first one writes.
    """

    def __init__(self, run: Run, interval_s: float, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self._run, self._interval_s, self._group = run, interval_s, group
        self._last, self._cost_s = time.perf_counter(), 0.0

    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        pause = max(self._interval_s, self._cost_s / _MAX_TIME_FRACTION)
        return self._interval_s > 0 and time.perf_counter() - self._last >= pause

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage, progress: Progress
    ) -> None:
        """Replace the last checkpoint, whole or not at all; the first process writes, and all have the same state."""
        started = time.perf_counter()
        if self._group.is_first:
            state = {
                "model": model.state_dict(),
                "statistics": dict(model.named_buffers()),  # also those that no state dict has
                "optimizer": optimizer.state_dict(),
                "progress": {
                    **{name: getattr(progress, name) for name in _KEPT},
                    "seconds_before": progress.seconds_total,
                    "pace": None if progress.pace is None else progress.pace.to_list(),
                },
                "average": average.state(),
            }
            content = io.BytesIO()  # torch's own writer to files reports a full disk as a defect of its own
            torch.save(state, content)
            with replacing(self._run.resume) as temporary:
                temporary.write_bytes(content.getbuffer())
                seal_file(temporary)
        self._last = time.perf_counter()
        self._cost_s = self._last - started


def load_checkpoint(
    run: Run,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    device: str,
) -> Progress:
    """Restore model, optimizer and average from the run's last checkpoint, if there is one.

    Raises:
        RunError: if the checkpoint is damaged, or of another network.
    """
    fresh = Progress(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))
    if not run.resume.is_file():
        return fresh
    if has_broken_seal(run.resume):
        problem = "is damaged: its content does not have the SHA-256 at its end"
        raise RunError(run.resume, problem, "restore it, or remove it and train again")
    try:
        state = torch.load(run.resume, map_location=device, weights_only=True)
        statistics, progress = _read_shared(state)
        model.load_state_dict(state["model"])
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                stored = statistics.get(name)
                if stored is not None and stored.shape == buffer.shape:  # else a cache, which is made again
                    buffer.copy_(stored)
        optimizer.load_state_dict(state["optimizer"])
        average.load(state.get("average", []))
        segments = progress.pop("pace", None)
        return Progress(**progress, pace=None if segments is None else Pace.from_list(segments))
    except Exception as error:  # torch.load raises a dozen kinds of errors for damaged files
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(run.resume, f"cannot be resumed from ({text})", "remove it, and train again") from error


def _read_shared(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read buffers and progress, which an earlier version stored for each process."""
    earlier = state.get("processes", [state])
    if len(earlier) > 1:
        raise ValueError(f"an earlier version wrote it in {len(earlier)} processes, which had other parts of a step")
    own = {name: earlier[0][name] for name in _KEPT if name in earlier[0]}
    return earlier[0]["statistics"], {**state["progress"], **own}
