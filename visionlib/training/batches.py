"""The images of a training batch: their order, their augmentation, and their mixture with each other."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.augmentation import (
    augment_trivially,
    crop_images,
    cut_out_images,
    erase_images,
    flip_images,
    flip_images_alternating,
    jitter_colours,
    mix_images,
    transform_images,
)
from visionlib.data.dataset import ImageSplit
from visionlib.data.random import Epoch, Stream, random_order
from visionlib.training.balance import balanced_draws
from visionlib.training.config import TrainConfig
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup

Targets = Int64[Tensor, "n"] | Float32[Tensor, "n _k"]
"""Labels; or, where images are mixed, the weight of every class for each image."""

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
    split: ImageSplit,
    batches: Sequence[Int64[Tensor, "_ 2"]],
    config: TrainConfig,
    group: ProcessGroup = SINGLE_PROCESS,
    *,
    is_mixing: bool = True,
) -> Iterator[tuple[UInt8[Tensor, "_n c h w"], Targets]]:
    """Yield the augmented images of this process's shard of each batch, and their targets.

    A CPU augments one batch at a time, which then lies in its cache. A GPU augments many batches in hardly more time
    than one. The images are the same.

    Args:
        split: images to learn from.
        batches: of `epoch_batches`.
        config: every setting.
        group: the processes, among which a batch is divided.
        is_mixing: whether this epoch is one before `mix_end`; later ones have soft targets, too.
    """
    largest = max((len(group.shard(batch, config.parts)) for batch in batches), default=1)
    block_size = 1 if split.images.device.type == "cpu" else max(1, _GPU_BLOCK // largest)
    for start in range(0, len(batches), block_size):
        block = batches[start : start + block_size]
        shards = [group.shard(batch, config.parts) for batch in block]
        sizes = [len(shard) for shard in shards]
        positions, passes = torch.cat(shards).unbind(1)
        images = augment_images(split.images[positions], split.index[positions], config, passes)
        targets: Targets = split.labels[positions]
        if config.mix != "none":
            images, targets = mix_batches(images, split, block, config, group, is_mixing=is_mixing)
        yield from zip(torch.split(images, sizes), torch.split(targets, sizes), strict=True)


def mix_batches(
    images: UInt8[Tensor, "n c h w"],
    split: ImageSplit,
    batches: Sequence[Int64[Tensor, "_ 2"]],
    config: TrainConfig,
    group: ProcessGroup,
    *,
    is_mixing: bool = True,
) -> tuple[UInt8[Tensor, "n c h w"], Float32[Tensor, "n k"]]:
    """Mix augmented images with their partners, as augmented themselves; return the images and the soft targets.

    The partner is the image before in the whole batch, and the last one for the first. The order is random, so the
    partner is, too, and each image is the partner of one. The partner of an image in a shard may lie in another shard;
    it is then augmented here as well, with the same result.
    """
    positions, passes = torch.cat([group.shard(batch, config.parts) for batch in batches]).unbind(1)
    partners, partner_passes = torch.cat([group.shard(batch.roll(1, 0), config.parts) for batch in batches]).unbind(1)
    if not is_mixing:
        others = images
    elif group.size == 1:
        others = torch.cat([part.roll(1, 0) for part in torch.split(images, [len(batch) for batch in batches])])
    else:
        others = augment_images(split.images[partners], split.index[partners], config, partner_passes)
    images, weights = mix_images(
        images,
        others,
        split.index[positions],
        seed=config.seed,
        epoch=passes,
        mix=config.mix,
        alpha=config.mix_alpha,
        fraction=config.mix_fraction if is_mixing else 0.0,
    )
    # One shape of targets throughout, also where nothing is mixed: a recorded step takes no other.
    classes = torch.eye(len(split.classes), device=images.device)
    targets = torch.lerp(classes[split.labels[partners]], classes[split.labels[positions]], weights[:, None])
    return images, targets


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
    if config.policy == "trivial":
        images = augment_trivially(images, index, strength=config.policy_strength, **draw)
    if config.cutout_px:
        images = cut_out_images(images, index, size_px=config.cutout_px, **draw)
    if config.erase_fraction:
        images = erase_images(images, index, fraction=config.erase_fraction, largest_area=config.erase_area, **draw)
    return images
