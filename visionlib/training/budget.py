"""How many epochs fit into a time: measured on the machine at hand, before the training begins."""

import time
from collections.abc import Mapping

from torch import nn

from visionlib.errors import ConfigError
from visionlib.inference.device import compute_environment
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.config import TrainConfig
from visionlib.training.cuda_graphs import StepKind
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.preserved_state import copy_network
from visionlib.training.schedule import step_fractions
from visionlib.training.step import TrainingStep

_MARGIN = 0.05
"""Fraction of the time that is left over: a machine is not equally fast all the time."""
_MOST_EPOCHS = 1000
"""More epochs never helped."""
_WARM_UP_STEPS, _TIMED_STEPS = 2, 4


def fit_epochs(
    config: TrainConfig, n: int, side_px: int, seconds_per_image: Mapping[tuple[int, bool], float], max_s: float
) -> int:
    """Return the largest number of epochs that take no longer than a time.

    Args:
        config: the settings; their kinds of steps are spread over any number of epochs, see `step_fractions`.
        n: images of an epoch.
        side_px: side of the stored images.
        seconds_per_image: for each kind of step.
        max_s: the time, in seconds.
    Raises:
        ConfigError: if one epoch takes longer.
    """
    epoch_s = n * sum(seconds_per_image[kind] * fraction for kind, fraction in step_fractions(config, side_px).items())
    if epoch_s > max_s:
        raise ConfigError(
            "max_seconds", f"{max_s:.0f} are too few: one epoch takes {epoch_s:.0f} here", "set it higher"
        )
    return min(_MOST_EPOCHS, int(max_s / epoch_s))


def measure_seconds_per_image(job: TrainingJob, model: nn.Module) -> dict[tuple[int, bool], float]:
    """Train a copy of a model for a few steps of each kind; the model itself stays as it is.

    Returns:
        The lowest seconds per image, data included, for each resolution in pixels and whether the step is one of SAM.
    """
    twin = job.set_training_mode(copy_network(model))
    optimizer = make_optimizer(twin, job.config, job.compute.dtype, head=job.find_head(twin))
    batches = epoch_batches(job.split, job.config.batch_size, seed=job.config.seed, epoch=0)
    kinds = sorted(step_fractions(job.config, job.split.image_size[0]))
    take_step = TrainingStep(twin, optimizer, job)
    take_step.record([StepKind(len(batches[0]), *kind) for kind in kinds])
    fastest = {}
    for side_px, is_sam in kinds:
        timings = []
        for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
            started = time.perf_counter()
            ((images, labels),) = augmented_batches(job.split, batches[:1], job.config, 0)
            loss, _ = take_step(images, labels, side_px=side_px, learning_rate=0.0, is_sam=is_sam)
            loss.item()  # waits for a GPU
            timings.append((time.perf_counter() - started) / len(labels))
        fastest[side_px, is_sam] = min(timings[_WARM_UP_STEPS:])
    return fastest


def fit_time_budget(job: TrainingJob, max_s: float) -> TrainConfig:
    """Return a job's settings with the number of epochs that fit into a time on this machine.

    The schedules stretch over them. Predicting the test images afterwards is not included.

    Args:
        job: data, settings and device.
        max_s: the time in seconds, with the measurement here.
    Raises:
        ConfigError: if one epoch takes longer, or several processes train, whose time is not measured.
    """
    if job.group.size > 1:
        raise ConfigError("max_seconds", "it is measured for one process alone", "set the epochs yourself")
    started = time.perf_counter()
    model = job.build_model()
    with compute_environment(job.compute):
        seconds_per_image = measure_seconds_per_image(job, model)
    left = (max_s - (time.perf_counter() - started)) * (1 - _MARGIN)
    epochs = fit_epochs(job.config, len(job.split), job.split.image_size[0], seconds_per_image, left)
    return job.config.replace(epochs=epochs)
