"""The arithmetic of a training: floating-point operations, counted before it begins."""

import functools
import math

from visionlib.data import ImageSplit
from visionlib.inference.device import Compute, compute_environment
from visionlib.inference.preprocessing import scale_width
from visionlib.models import build_model
from visionlib.summary import summarize
from visionlib.training.budget import measure_seconds_per_image
from visionlib.training.config import TrainConfig
from visionlib.training.job import TrainingJob, place_images
from visionlib.training.recipes import RECIPES
from visionlib.training.schedule import step_fractions

_SAMPLE = RECIPES["fast"].replace(batch_size=256, epochs=1, resolutions=(0.75,))
"""Settings with which a machine is measured."""
_PASSES = 3
"""A backward pass is two products for each one of the forward pass: by the inputs, and by the weights."""


def count_training_flop(config: TrainConfig, n: int, image_size: tuple[int, int, int], classes: int) -> float:
    """Count the floating-point operations of a training, forward and backward.

    They are two for each multiply-accumulate of convolutions, linear layers and matrix products. Normalizations,
    activations, augmentation and the optimizer are not counted: they take time, but few operations.

    Args:
        config: every setting; `model` names a built-in network.
        n: images of an epoch.
        image_size: channels, height and width of the stored images.
        classes: number of logits.
    """
    channels, height, width = image_size
    flop = 0.0
    for (side_px, is_sam), fraction in step_fractions(config, height).items():
        size = (channels, side_px, scale_width(height, width, side_px))
        macs = _count_macs(config.model, classes, size)
        flop += fraction * _PASSES * 2 * macs * (1 + config.sam_fraction * is_sam)
    return config.epochs * n * flop


@functools.cache
def _count_macs(model: str, classes: int, input_size: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of a built-in network; several recipes share networks and sizes."""
    return summarize(build_model(model, classes=classes, channels=input_size[0]), input_size).macs


def measure_flop_rate(split: ImageSplit, compute: Compute, max_s: float = math.inf) -> float:
    """Measure the operations that `count_training_flop` counts, per second, in a few steps of a small network.

    Args:
        split: images to learn from.
        compute: of the training.
        max_s: time in seconds, after which parts of a batch are measured, which are slower for each image.
    """
    job = TrainingJob(place_images(split, compute), _SAMPLE, compute, split.mean, split.std)
    with compute_environment(compute):
        ((_, seconds_per_image),) = measure_seconds_per_image(job, job.build_model(), max_s).items()
    flop = count_training_flop(_SAMPLE, len(split), (split.channels, *split.image_size), len(split.classes))
    return flop / (len(split) * seconds_per_image)
