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
from visionlib.training.schedule import share_px
from visionlib.training.step import TrainingStep

_MARGIN = 0.05
"""Share of the time that is left over: a machine is not equally fast all the time."""
_MOST_EPOCHS = 1000
"""However much time there is: more were never seen to help."""
_WARM_UP_STEPS, _TIMED_STEPS = 2, 4


def fit_epochs(config: TrainConfig, n: int, side_px: int, seconds_per_image: Mapping[int, float], max_s: float) -> int:
    """Give the largest number of epochs whose images, at their resolutions, take no longer than a time.

    Args:
        config: the settings; its resolutions are spread over however many epochs.
        n: images of an epoch.
        side_px: side of the stored images.
        seconds_per_image: for each side that an epoch may train at.
        max_s: the time, in seconds.
    Raises:
        ConfigError: if one epoch takes longer.
    """
    sides = [share_px(share, side_px) for share in config.resolutions]
    epoch_s = n * sum(seconds_per_image[side] for side in sides) / len(sides)
    if epoch_s > max_s:
        raise ConfigError(
            "max_seconds", f"{max_s:.0f} are too few: one epoch takes {epoch_s:.0f} here", "set it higher"
        )
    return min(_MOST_EPOCHS, int(max_s / epoch_s))


def measure_seconds_per_image(fit: Fit, model: nn.Module) -> dict[int, float]:
    """Train a copy of a model for a few steps at each resolution of the settings; the model itself stays as it is.

    Returns:
        The lowest seconds per image, data included, for each side in pixels.
    """
    twin = copy.deepcopy(model).train()
    optimizer = make_optimizer(twin, fit.config, fit.number_format)
    batches = epoch_batches(fit.split, fit.config.batch_size, seed=fit.config.seed, epoch=0)
    side_px = fit.split.image_size[0]
    sides = sorted({share_px(share, side_px) for share in fit.config.resolutions})
    take_step = TrainingStep(twin, optimizer, fit)
    take_step.capture([(len(batches[0]), side) for side in sides])
    found = {}
    for side in sides:
        timed = []
        for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
            started = time.perf_counter()
            ((images, labels),) = shown_batches(fit.split, batches[:1], fit.config, 0)
            with fast_convolutions(twin, fit.compute):
                loss, _ = take_step(images, labels, side_px=side, learning_rate=0.0)
            loss.item()  # a GPU is asked for it, and so has finished
            timed.append((time.perf_counter() - started) / len(labels))
        found[side] = min(timed[_WARM_UP_STEPS:])
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
