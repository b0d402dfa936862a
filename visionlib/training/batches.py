"""The images of a training batch: their order, and their augmentation."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.augmentation import (
    crop_images,
    cut_out_images,
    flip_images,
    flip_images_alternating,
    jitter_colours,
    transform_images,
)
from visionlib.data.dataset import ImageSplit
from visionlib.data.random import random_order
from visionlib.training.config import TrainConfig

_ORDER_STREAM = 0
"""Which of an image's draws decides its place in an epoch; augmentation uses 10 and above."""


def epoch_batches(split: ImageSplit, batch_size: int, *, seed: int, epoch: int) -> tuple[Int64[Tensor, "_"], ...]:
    """Cut an epoch's random order into batches whose sizes differ by at most one.

    So no batch is a stub whose few images would weigh as much as a full batch, and every image is seen exactly once.

    Returns:
        Positions in `split`, one tensor per step.
    """
    order = random_order(seed, epoch, split.index, _ORDER_STREAM)
    return torch.tensor_split(order, -(-len(split) // batch_size))


def augment_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], config: TrainConfig, epoch: int
) -> UInt8[Tensor, "n c h w"]:
    """Apply the augmentations of a configuration; each is a pure function of (seed, epoch, index)."""
    draw = {"seed": config.seed, "epoch": epoch}
    if config.rotate_degrees or config.translate_fraction or config.scale_fraction:
        images = transform_images(
            images,
            index,
            rotate_degrees=config.rotate_degrees,
            translate_fraction=config.translate_fraction,
            scale_range=(1 - config.scale_fraction, 1 + config.scale_fraction),
            **draw,
        )
    if config.brightness or config.contrast or config.saturation or config.hue:
        images = jitter_colours(
            images,
            index,
            brightness=config.brightness,
            contrast=config.contrast,
            saturation=config.saturation,
            hue=config.hue,
            **draw,
        )
    if config.crop_px:
        images = crop_images(images, index, max_shift_px=config.crop_px, **draw)
    if config.flip != "none":
        flip = flip_images if config.flip == "random" else flip_images_alternating
        images = flip(images, index, **draw)
    if config.cutout_px:
        images = cut_out_images(images, index, size_px=config.cutout_px, **draw)
    return images
