"""Mirror images left to right: always, at random, or every other epoch."""

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from visionlib.data.random import Stream, random_integers


def mirror_images(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Mirror every image left to right."""
    return images.flip(3)


def flip_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: int
) -> UInt8[Tensor, "n c h w"]:
    """Mirror each image with probability one half, anew in every epoch.

    Args:
        images: pixels; they are left as they are.
        index: the stable index of each image.
        seed: the run's seed.
        epoch: the epoch.
    """
    return _mirror_where(images, random_integers(seed, epoch, index, Stream.FLIP, 2) == 1)


def flip_images_alternating(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: int
) -> UInt8[Tensor, "n c h w"]:
    """Mirror a random half of the images in epoch 0, the other half in epoch 1, and so on by turns.

    So every pair of epochs shows each image once either way, where a coin would repeat half of them. The arguments are
    those of `flip_images`.
    Source: Jordan 2024, arXiv:2404.00498, section 3.6.
    """
    is_first = random_integers(seed, 0, index, Stream.FLIP, 2) == 1
    return _mirror_where(images, is_first ^ bool(epoch % 2))


def _mirror_where(images: UInt8[Tensor, "n c h w"], is_mirrored: Bool[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images)
