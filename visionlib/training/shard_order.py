"""The order of training images: all of them shuffled, or block by block of shards, as they can be had.

Both are pure functions of the seed and the images' stable ids. Whether shards were decoded before changes nothing.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError


def training_order(split: ImageSplit, seed: int, epoch: int) -> Int64[Tensor, "n"]:
    """Return all positions, shuffled."""
    return random_order(seed, epoch, split.index, Stream.TRAINING_ORDER)


def block_order(split: ImageSplit, seed: int, shards: int) -> Int64[Tensor, "n"]:
    """Return all positions by blocks: shards in random order, so many at a time, and the images of those shuffled.

    Args:
        split: whose `sources` tell the files that its rows are in.
        seed: of both orders; the images of a block have the order that they have in the first epoch without blocks.
        shards: in a block, 1 or more.
    Raises:
        ConfigError: if the images are no rows of files.
    """
    order = training_order(split, seed, 0)
    return order[torch.argsort(_blocks(split, seed, shards)[order], stable=True)]


def first_block(split: ImageSplit, seed: int, shards: int) -> Int64[Tensor, "k"]:
    """Return the positions of the first block that has an image, in the order of `block_order`."""
    order = block_order(split, seed, shards)
    blocks = _blocks(split, seed, shards)[order]
    return order[blocks == blocks[:1]]


def shard_order(count: int, seed: int) -> Int64[Tensor, "{count}"]:
    """Return the numbers of the shards in the order of the blocks."""
    return random_order(seed, 0, torch.arange(count), Stream.SHARD_ORDER)


def _blocks(split: ImageSplit, seed: int, shards: int) -> Int64[Tensor, "n"]:
    """Return the block of every image."""
    if split.sources is None or not split.sources.files:
        problem = "the images are no rows of files, as those of parquet shards are"
        raise ConfigError("stream_shards", problem, "leave it out")
    ends = torch.from_numpy(split.sources.file_ends)
    visit = shard_order(len(ends), seed).argsort()
    return visit[torch.searchsorted(ends, split.index.cpu(), right=True)] // shards
