"""The plan of a training with a time budget: from the machine's speed, from another run, or from its own record."""

import dataclasses
import math
import time
from typing import Any

from jaxtyping import Int64
from torch import Tensor, nn

from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import compute_environment
from visionlib.runs import Run
from visionlib.runs.training_records import RunConfig
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.cuda_graphs import StepKind
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.pace import Pace, TimeBudget
from visionlib.training.preserved_state import copy_network, seeded_generators
from visionlib.training.replanning import MOST_EPOCHS, mean_step_seconds
from visionlib.training.schedule import step_fractions
from visionlib.training.step import TrainingStep

_MARGIN = 0.05
"""Fraction of the time that the first plan leaves over."""
_MEASURING_FRACTION = 0.1
"""Largest fraction of the time that is used to measure, but for one step."""
_WARM_UP_STEPS, _TIMED_STEPS = 2, 4
_PARTS = 8
"""A part of a batch is measured instead of all of it where that would take too long."""

Kind = tuple[int, bool]
"""Resolution in pixels, and whether the step is one of SAM."""


def fit_time_budget(job: TrainingJob, max_s: float, seconds_before: float = 0.0) -> TrainingJob:
    """Return a job with as many steps as fit into a time on this machine; a `Replanner` changes them as they go.

    Several processes, which must be connected, measure together; the first one decides.

    Args:
        job: data, settings and device.
        max_s: the time in seconds, with the measurement here, but without compiling.
        seconds_before: of that time, used already.
    Raises:
        ConfigError: if not even one step fits.
    """
    if not 0 < max_s < math.inf:
        raise ConfigError("max_seconds", f"{max_s:g} is no time to train for", "set a number above 0")
    model = job.build_model()
    with compute_environment(job.compute), seeded_generators(job.compute, job.config.seed):
        take_step = _prepare_twin(job, model)
        started = time.perf_counter()
        seconds_per_image = _time_kinds(take_step, job, _MEASURING_FRACTION * max_s)
    seconds_measuring = job.group.broadcast(seconds_before + time.perf_counter() - started)
    step_s = mean_step_seconds(job, seconds_per_image)
    if max_s - seconds_measuring < step_s:
        problem = (
            f"{max_s:g} are too few: one step takes {step_s:.2g} s here, and to measure that {seconds_measuring:.2g} s"
        )
        raise ConfigError("max_seconds", problem, "set it higher, or a smaller batch_size")
    left_s = max_s * (1 - _MARGIN) - seconds_measuring
    steps = min(MOST_EPOCHS * job.steps_per_epoch, max(1, int(left_s / step_s)))
    return dataclasses.replace(
        job,
        config=job.config.replace(epochs=-(-steps // job.steps_per_epoch)),
        planned=Pace.of_steps(steps),
        budget=TimeBudget(max_s, seconds_measuring, seconds_per_image),
    )


def follow_pace(job: TrainingJob, pace: Pace, max_seconds: float | None) -> TrainingJob:
    """Return a job with a given pace, as many epochs as it takes.

    Raises:
        ConfigError: if there is a time budget as well.
    """
    if max_seconds is not None:
        raise ConfigError("pace, max_seconds", "a given pace has its number of steps already", "leave one of them out")
    epochs = -(-pace.total_steps // job.steps_per_epoch)
    return dataclasses.replace(job, config=job.config.replace(epochs=epochs), planned=pace)


def describe_pace(job: TrainingJob) -> dict[str, Any]:
    """Return what `restore_pace` needs, besides the settings, to go on at a pace that is not that of whole epochs."""
    pace = {} if job.planned is None else {"pace": job.planned.to_list()}
    return pace if job.budget is None else {**pace, "time_budget": job.budget.to_dict()}


def restore_pace(job: TrainingJob, run: Run, record: RunConfig) -> TrainingJob:
    """Return a job with the pace and the time budget that its run began with.

    Raises:
        RunError: if the record is damaged.
    """
    try:
        pace = None if record.pace is None else Pace.from_list(record.pace)
    except ConfigError as error:
        raise RunError(run.config, f"is damaged (pace: {error.problem})", "restore it, or train again") from error
    budget = None if record.time_budget is None else TimeBudget.of_record(record.time_budget)
    return dataclasses.replace(job, planned=pace, budget=budget)


def measure_seconds_per_image(job: TrainingJob, model: nn.Module, max_s: float = math.inf) -> dict[Kind, float]:
    """Train a copy of a model for a few steps of each kind; the model itself stays as it is.

    Args:
        job: data, settings and device.
        model: to copy.
        max_s: time in seconds, after which only one step of each further kind is taken, with a part of a batch.
    Returns:
        The lowest seconds per image, data included, for each resolution in pixels and whether the step is one of SAM.
    """
    with seeded_generators(job.compute, job.config.seed):
        return _time_kinds(_prepare_twin(job, model), job, max_s)


def _list_kinds(job: TrainingJob) -> list[Kind]:
    return sorted(step_fractions(job.config, job.split.image_size[0]))


def _prepare_twin(job: TrainingJob, model: nn.Module) -> TrainingStep:
    """Return the step of a copy of a model, recorded or compiled where that of the model will be."""
    twin = job.set_training_mode(copy_network(model))
    take_step = TrainingStep(twin, make_optimizer(twin, job.config, job.compute.dtype, head=job.find_head(twin)), job)
    n = -(-len(job.split) // job.steps_per_epoch)
    take_step.record([StepKind(n, *kind) for kind in _list_kinds(job)])
    return take_step


def _time_kinds(take_step: TrainingStep, job: TrainingJob, max_s: float) -> dict[Kind, float]:
    group, kinds, started, is_over = job.group, _list_kinds(job), time.perf_counter(), False
    count = _WARM_UP_STEPS + _TIMED_STEPS
    config = job.config
    (batch, *_) = epoch_batches(
        job.split, config.batch_size, seed=config.seed, epoch=0, stream_shards=config.stream_shards
    )
    part = batch[: max(2 * job.parts, len(batch) // _PARTS)]
    if max_s < math.inf and not job.compute.device.startswith("cuda"):
        expected_s = _time_step(take_step, job, part, *kinds[0]) * len(batch) * count * len(kinds)
        batch = part if any(group.all_reduce_max(int(expected_s > max_s))) else batch
    fastest: dict[Kind, float] = {}
    for kind in kinds:
        timings: list[float] = []
        while len(timings) < count and not (is_over and timings):
            timings.append(_time_step(take_step, job, part if is_over else batch, *kind))
            # All processes take the same steps.
            is_over = any(group.all_reduce_max(int(time.perf_counter() - started > max_s)))
        fastest[kind] = min(timings[_WARM_UP_STEPS:] or timings)
    return group.broadcast(fastest)


def _time_step(
    take_step: TrainingStep, job: TrainingJob, batch: Int64[Tensor, "n 2"], side_px: int, is_sam: bool
) -> float:
    """Take a step with images at these positions; return its seconds per image."""
    begun = time.perf_counter()
    ((images, targets),) = augmented_batches(job.split, [batch], job.config, job.group, device=job.compute.device)
    loss, _ = take_step(images, targets, side_px=side_px, learning_rate=0.0, batch_size=len(batch), is_sam=is_sam)
    loss.item()  # waits for a GPU
    return (time.perf_counter() - begun) / len(batch)
