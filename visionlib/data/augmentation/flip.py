"""Mirror images left to right: always, at random, or every other epoch."""

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_integers


def mirror_images(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Mirror every image left to right."""
    return images.flip(3)


def flip_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: Epoch
) -> UInt8[Tensor, "n c h w"]:
    """Mirror each image with probability one half, independently in every epoch.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
    """
    return _mirror_where(images, random_integers(seed, epoch, index, Stream.FLIP, 2) == 1)


def flip_images_alternating(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: Epoch
) -> UInt8[Tensor, "n c h w"]:
    """Mirror a random half of the images in even epochs, and the other half in odd epochs.

    Every pair of epochs has each image once in either orientation; independent flips would repeat half of them. The
    arguments are those of `flip_images`.
    Source: Jordan 2024, arXiv:2404.00498, section 3.6.
    """
    is_first = random_integers(seed, 0, index, Stream.FLIP, 2) == 1
    return _mirror_where(images, is_first ^ (epoch % 2 == 1))


def _mirror_where(images: UInt8[Tensor, "n c h w"], is_mirrored: Bool[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images)
