"""How many epochs fit into a time: measured on the machine at hand, before the training begins."""

import copy
import time
from collections.abc import Mapping

import torch
from torch import nn

from visionlib.errors import ConfigError
from visionlib.models import build_model
from visionlib.training.batches import epoch_batches, shown_batches
from visionlib.training.config import TrainConfig
from visionlib.training.device import prepared_process
from visionlib.training.fast_convolutions import fast_convolutions
from visionlib.training.fit import Fit
from visionlib.training.optimizer import make_optimizer
from visionlib.training.schedule import shares_of_steps
from visionlib.training.step import TrainingStep

_MARGIN = 0.05
"""Share of the time that is left over: a machine is not equally fast all the time."""
_MOST_EPOCHS = 1000
"""However much time there is: more were never seen to help."""
_WARM_UP_STEPS, _TIMED_STEPS = 2, 4


def fit_epochs(
    config: TrainConfig, n: int, side_px: int, seconds_per_image: Mapping[tuple[int, bool], float], max_s: float
) -> int:
    """Give the largest number of epochs whose images, by their kinds of steps, take no longer than a time.

    Args:
        config: the settings; its kinds of steps are spread over however many epochs, see `shares_of_steps`.
        n: images of an epoch.
        side_px: side of the stored images.
        seconds_per_image: for each kind of step.
        max_s: the time, in seconds.
    Raises:
        ConfigError: if one epoch takes longer.
    """
    epoch_s = n * sum(seconds_per_image[kind] * share for kind, share in shares_of_steps(config, side_px).items())
    if epoch_s > max_s:
        raise ConfigError(
            "max_seconds", f"{max_s:.0f} are too few: one epoch takes {epoch_s:.0f} here", "set it higher"
        )
    return min(_MOST_EPOCHS, int(max_s / epoch_s))


def measure_seconds_per_image(fit: Fit, model: nn.Module) -> dict[tuple[int, bool], float]:
    """Train a copy of a model for a few steps of each kind of the settings; the model itself stays as it is.

    Returns:
        The lowest seconds per image, data included, for each side in pixels, and whether it is learned from uphill.
    """
    twin = copy.deepcopy(model).train()
    optimizer = make_optimizer(twin, fit.config, fit.number_format)
    batches = epoch_batches(fit.split, fit.config.batch_size, seed=fit.config.seed, epoch=0)
    kinds = sorted(shares_of_steps(fit.config, fit.split.image_size[0]))
    take_step = TrainingStep(twin, optimizer, fit)
    take_step.capture([(len(batches[0]), side_px, uphill) for side_px, uphill in kinds])
    found = {}
    for side_px, uphill in kinds:
        timed = []
        for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
            started = time.perf_counter()
            ((images, labels),) = shown_batches(fit.split, batches[:1], fit.config, 0)
            with fast_convolutions(twin, fit.compute):
                loss, _ = take_step(images, labels, side_px=side_px, learning_rate=0.0, uphill=uphill)
            loss.item()  # a GPU is asked for it, and so has finished
            timed.append((time.perf_counter() - started) / len(labels))
        found[side_px, uphill] = min(timed[_WARM_UP_STEPS:])
    return found


def fit_budget(fit: Fit, classes: int, max_s: float) -> TrainConfig:
    """Give a run's settings with as many epochs as fit into a time on this machine.

    The schedules stretch over them. What follows on the last epoch, such as predicting the test images, comes on top.

    Args:
        fit: the run's data, settings and device.
        classes: number of classes.
        max_s: the time, in seconds, what is measured here included.
    Raises:
        ConfigError: if one epoch takes longer, or several processes train, whose time is not measured.
    """
    if fit.world.size > 1:
        raise ConfigError("max_seconds", "it is measured for one process alone", "set the epochs yourself")
    started = time.perf_counter()
    model = build_model(fit.config.model, classes=classes, channels=fit.split.channels, seed=fit.config.seed)
    model.to(device=fit.compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with prepared_process(fit.compute):
        seconds_per_image = measure_seconds_per_image(fit, model)
    left = (max_s - (time.perf_counter() - started)) * (1 - _MARGIN)
    epochs = fit_epochs(fit.config, len(fit.split), fit.split.image_size[0], seconds_per_image, left)
    return fit.config.replace(epochs=epochs)
