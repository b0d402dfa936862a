"""The lines that a training says before its first step."""

import dataclasses

from torch import nn

from visionlib.data import Dataset
from visionlib.data.description import describe_imbalance, describe_sizes
from visionlib.inference.device import compute_environment
from visionlib.models.initial_weights import Transfer
from visionlib.runs import Run
from visionlib.training.budget import measure_seconds_per_image
from visionlib.training.job import TrainingJob
from visionlib.training.loop import format_epochs
from visionlib.training.network_check import list_idle_settings
from visionlib.training.replanning import mean_step_seconds

_FEW_STEPS = 200
_MEASURED_IMAGES = 128
"""Most images in a measured step: enough to be about as fast per image as a whole batch."""


def describe_start(
    source: Dataset, job: TrainingJob, network: nn.Module, transfer: Transfer | None, run: Run
) -> list[str]:
    """Describe data, weights and steps, and warn of what will probably disappoint."""
    lines = [] if job.budget is None else [_describe_plan(job)]
    lines += _describe_beginning(job, transfer)
    lines.append(f"{source.name}: {len(job.split):,} images to learn from, {job.config.model} -> {run.path}")
    if (steps := job.pace.total_steps) < _FEW_STEPS:
        more = "--epochs" if job.budget is None else "--max-seconds"
        lines.append(f"these are {steps} steps, few to learn in: more {more} or a smaller --batch-size may help")
    if job.group.size > 1:
        lines.append(f"a step has {job.parts} parts: the run can go on in up to {job.parts} processes")
    lines += list_idle_settings(network, job)
    lines.append(describe_sizes(source))
    imbalance = describe_imbalance(job.split)
    return [*lines, imbalance] if imbalance and not job.config.balance else lines


def describe_cost(job: TrainingJob, network: nn.Module) -> str:
    """Measure a few steps of a copy of the network, and tell how long all of them will take."""
    sample = dataclasses.replace(
        job, config=job.config.replace(batch_size=min(job.config.batch_size, max(_MEASURED_IMAGES, 2 * job.parts)))
    )
    with compute_environment(job.compute):
        seconds_per_image = measure_seconds_per_image(sample, network)
    seconds = job.pace.total_steps * mean_step_seconds(job, seconds_per_image)
    shown = f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
    return f"about {shown} of training here, by a few steps measured; --max-seconds sets the time"


def _describe_beginning(job: TrainingJob, transfer: Transfer | None) -> list[str]:
    """Describe the weights that a training begins with, and the settings that they overrule."""
    if transfer is None:
        is_random = job.config.freeze and not isinstance(job.network, nn.Module)
        return ["warning: freeze without weights to begin with: all layers but the head stay random"] * is_random
    lines = transfer.describe()
    if transfer.mean is None:
        lines.append("these weights tell no mean and std: images are normalized by the settings")
    else:
        values = (" ".join(f"{value:.4f}" for value in numbers) for numbers in (job.mean, job.std))
        lines.append("normalized as in the training of these weights: mean {}, std {}".format(*values))
    return [*lines, "whiten is skipped: the stem begins with these weights"] if job.config.whiten else lines


def _describe_plan(job: TrainingJob) -> str:
    assert job.budget is not None
    steps = job.pace.total_steps
    epochs = format_epochs(steps / job.steps_per_epoch)
    measured = f"{job.budget.seconds_measuring:.1f} s of them to measure"
    return f"about {epochs} epochs ({steps:,} steps) fit into {job.budget.max_s:g} s, {measured}"
