"""The images of a training batch: their order, and their augmentation."""

from collections.abc import Iterator, Sequence
from typing import Any

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
from visionlib.data.random import Epoch, Stream, random_order
from visionlib.training.balance import balanced_draws
from visionlib.training.config import TrainConfig

_GPU_BLOCK = 65_536
"""Images that a GPU augments at a time: an epoch of CIFAR-10, 200 MB of pixels."""


def epoch_batches(
    split: ImageSplit, batch_size: int, *, seed: int, epoch: int, balance: bool = False
) -> tuple[Int64[Tensor, "_ 2"], ...]:
    """Split an epoch's draws, in random order, into batches whose sizes differ by at most one.

    Every image is drawn exactly once, or by `balanced_draws`. There is no small last batch, whose images would weigh
    more than others.

    Returns:
        One tensor per step: the position in `split` of each draw, and its pass, which is the number of draws of that
        image before: the epoch, unless classes are balanced.
    """
    if balance:
        draws = balanced_draws(split, seed=seed, epoch=epoch)
    else:
        order = random_order(seed, epoch, split.index, Stream.TRAINING_ORDER)
        draws = torch.stack([order, torch.full_like(order, epoch)], dim=1)
    return torch.tensor_split(draws, -(-len(split) // batch_size))


def augmented_batches(
    split: ImageSplit, batches: Sequence[Int64[Tensor, "_ 2"]], config: TrainConfig
) -> Iterator[tuple[UInt8[Tensor, "_n c h w"], Int64[Tensor, "_n"]]]:
    """Yield the augmented images of each batch, and their labels.

    A CPU augments one batch at a time, which then lies in its cache. A GPU augments many batches in hardly more time
    than one. The images are the same.
    """
    largest = max(map(len, batches), default=1)
    block_size = 1 if split.images.device.type == "cpu" else max(1, _GPU_BLOCK // largest)
    for start in range(0, len(batches), block_size):
        block = batches[start : start + block_size]
        positions, passes = torch.cat(tuple(block)).unbind(1)
        images = augment_images(split.images[positions], split.index[positions], config, passes)
        sizes = [len(batch) for batch in block]
        yield from zip(torch.split(images, sizes), torch.split(split.labels[positions], sizes), strict=True)


def augment_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], config: TrainConfig, epoch: Epoch
) -> UInt8[Tensor, "n c h w"]:
    """Apply the augmentations of a configuration; each is a pure function of (seed, epoch or pass, index)."""
    draw: dict[str, Any] = {"seed": config.seed, "epoch": epoch}
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
