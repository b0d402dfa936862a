"""The images of a training batch: their order, their way to the device, their augmentation, and their mixture.

Order and augmentation are pure functions of the position, so where images lie does not change them: in the memory of
the device, in that of the computer, or in a memory-mapped file.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from visionlib.data.random import Epoch
from visionlib.training.balance import balanced_draws
from visionlib.training.config import TrainConfig
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.shard_order import block_order, training_order

Targets = Int64[Tensor, "n"] | Float32[Tensor, "n _k"]
"""Labels; or, where images are mixed, the weight of every class for each image."""

_GPU_BLOCK_BYTES = 200 * 2**20
"""Pixels that a GPU augments at a time: an epoch of CIFAR-10."""


def epoch_batches(
    split: ImageSplit, batch_size: int, *, seed: int, epoch: int, balance: bool = False, stream_shards: int = 0
) -> tuple[Int64[Tensor, "_ 2"], ...]:
    """Split an epoch's draws, in random order, into batches whose sizes differ by at most one.

    Every image is drawn exactly once, or by `balanced_draws`; in the first epoch by blocks of shards, where
    `stream_shards` is their size, see `block_order`. There is no small last batch, whose images would weigh
    more than others.

    Returns:
        One tensor per step: the position in `split` of each draw, and its pass, which is the number of draws of that
        image before: the epoch, unless classes are balanced.
    """
    if balance:
        draws = balanced_draws(split, seed=seed, epoch=epoch)
    else:
        is_by_blocks = stream_shards and not epoch
        order = block_order(split, seed, stream_shards) if is_by_blocks else training_order(split, seed, epoch)
        draws = torch.stack([order, torch.full_like(order, epoch)], dim=1)
    return torch.tensor_split(draws, -(-len(split) // batch_size))


def augmented_batches(
    split: ImageSplit,
    batches: Sequence[Int64[Tensor, "_ 2"]],
    config: TrainConfig,
    group: ProcessGroup = SINGLE_PROCESS,
    *,
    device: str | torch.device | None = None,
    is_mixing: bool = True,
) -> Iterator[tuple[UInt8[Tensor, "_n c h w"], Targets]]:
    """Yield the augmented images of this process's shard of each batch, and their targets.

    A CPU augments one batch at a time, which then lies in its cache. A GPU augments many batches in hardly more time
    than one. The images are the same.

    Args:
        split: images to learn from. If they do not lie on the device, the next block is copied to it while one is used.
        batches: of `epoch_batches`.
        config: every setting.
        group: the processes, among which a batch is divided.
        device: that augments; by default that of the split's images.
        is_mixing: whether this epoch is one before `mix_end`; later ones have soft targets, too.
    """
    device = torch.device(device or split.device)
    largest = max((len(group.shard(batch, config.parts)) for batch in batches), default=1)
    most = _GPU_BLOCK_BYTES // (largest * split.channels * math.prod(split.image_size)) if len(split) else 1
    block_size = 1 if device.type == "cpu" else max(1, most)
    blocks = [batches[start : start + block_size] for start in range(0, len(batches), block_size)]
    shards = [[group.shard(batch, config.parts) for batch in block] for block in blocks]
    places = [torch.cat(parts)[:, 0] for parts in shards]
    lies_there = split.device.type == device.type
    pixels = map(split.gather, places) if lies_there else copy_ahead(split.gather, places, device)
    for block, parts, images in zip(blocks, shards, pixels, strict=True):
        sizes = [len(shard) for shard in parts]
        positions, passes = torch.cat(parts).unbind(1)
        images = augment_images(images, split.index[positions].to(device), config, passes.to(device))
        targets: Targets = split.labels[positions].to(device)
        if config.mix != "none":
            images, targets = mix_batches(images, split, block, config, group, is_mixing=is_mixing)
        yield from zip(torch.split(images, sizes), torch.split(targets, sizes), strict=True)


def copy_ahead(
    gather: Callable[[Int64[Tensor, "_"]], UInt8[Tensor, "_ c h w"]],
    blocks: Sequence[Int64[Tensor, "_"]],
    device: torch.device,
) -> Iterator[UInt8[Tensor, "_ c h w"]]:
    """Yield the images at each block's positions on another device, which holds two blocks at a time.

    A thread gathers and copies the next block while one is used.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def copy(positions: Int64[Tensor, "_"]) -> UInt8[Tensor, "_ c h w"]:
        gathered = gather(positions)
        if stream is None:
            return gathered.to(device)
        with torch.cuda.stream(stream):  # copies from pinned memory do not hold up the training
            moved = gathered.pin_memory().to(device, non_blocking=True)
        stream.synchronize()
        return moved

    with ThreadPoolExecutor(1) as thread:
        coming = [thread.submit(copy, positions) for positions in blocks[:1]]
        for at in range(len(blocks)):
            block = coming.pop().result()
            if stream is not None:  # its memory is not reused before the training has read it
                block.record_stream(torch.cuda.current_stream(device))
            coming += [thread.submit(copy, positions) for positions in blocks[at + 1 : at + 2]]
            yield block


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
    device = images.device
    positions, passes = torch.cat([group.shard(batch, config.parts) for batch in batches]).unbind(1)
    partners, partner_passes = torch.cat([group.shard(batch.roll(1, 0), config.parts) for batch in batches]).unbind(1)
    if not is_mixing:
        others = images
    elif group.size == 1:
        others = torch.cat([part.roll(1, 0) for part in torch.split(images, [len(batch) for batch in batches])])
    else:
        pixels, index = split.gather(partners).to(device), split.index[partners].to(device)
        others = augment_images(pixels, index, config, partner_passes.to(device))
    images, weights = mix_images(
        images,
        others,
        split.index[positions].to(device),
        seed=config.seed,
        epoch=passes.to(device),
        mix=config.mix,
        alpha=config.mix_alpha,
        fraction=config.mix_fraction if is_mixing else 0.0,
    )
    # One shape of targets throughout, also where nothing is mixed: a recorded step takes no other.
    classes = torch.eye(len(split.classes), device=device)
    first, second = (classes[split.labels[places].to(device)] for places in (positions, partners))
    targets = torch.lerp(second, first, weights[:, None])
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
