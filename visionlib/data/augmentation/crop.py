"""Random crops of images padded by reflection: shift each image and reflect at the border."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_integers

_CHUNK = 4096
"""Images shifted at a time: the gather's index takes eight bytes a pixel."""


def crop_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: Epoch, max_shift_px: int = 4
) -> UInt8[Tensor, "n c h w"]:
    """Shift every image by its own random offset, the same for all its channels.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        max_shift_px: largest shift along either axis, either way; 0 returns `images` itself.
    Raises:
        ValueError: unless 0 <= max_shift_px < min(h, w), as reflection needs.
    Source: He et al. 2015, arXiv:1512.03385, section 4.2, there with zeros at the border.
    """
    if max_shift_px == 0:
        return images
    count = 2 * max_shift_px + 1
    rows = random_integers(seed, epoch, index, Stream.CROP_ROWS, count) - max_shift_px
    columns = random_integers(seed, epoch, index, Stream.CROP_COLUMNS, count) - max_shift_px
    return shift_images(images, torch.stack([rows, columns], dim=1), max_shift_px)


def shift_images(
    images: UInt8[Tensor, "n c h w"], offsets: Int64[Tensor, "n 2"], max_shift_px: int
) -> UInt8[Tensor, "n c h w"]:
    """Move the window on every image by its own offset, reflecting at the border without repeating it.

    Args:
        images: uint8 pixels; not modified.
        offsets: shift of each window in rows down and columns right, in pixels.
        max_shift_px: the largest of them, either way.
    Raises:
        ValueError: unless 0 <= max_shift_px < min(h, w).
    """
    channels, height, width = images.shape[1:]
    if not 0 <= max_shift_px < min(height, width):
        raise ValueError(f"max_shift_px must be from 0 to below {min(height, width)}, and it is {max_shift_px}")
    shifted = [
        _gather_windows(part, offset, channels, height, width)
        for part, offset in zip(torch.split(images, _CHUNK), torch.split(offsets, _CHUNK), strict=True)
    ]
    return torch.cat(shifted) if shifted else images


def _gather_windows(
    images: UInt8[Tensor, "n c h w"], offsets: Int64[Tensor, "n 2"], channels: int, height: int, width: int
) -> UInt8[Tensor, "n c h w"]:
    """Gather every pixel by its flat position: a third of the time of slicing windows one by one."""
    rows = _reflect(torch.arange(height, device=images.device) + offsets[:, :1], height)
    columns = _reflect(torch.arange(width, device=images.device) + offsets[:, 1:], width)
    positions = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None]
    return images.flatten(2).gather(2, positions.expand(-1, channels, -1)).view_as(images)


def _reflect(positions: Int64[Tensor, "n p"], size: int) -> Int64[Tensor, "n p"]:
    """Fold positions that lie outside of [0, size) back by reflection at the outermost pixel."""
    positions = positions.abs()
    return torch.where(positions >= size, 2 * (size - 1) - positions, positions)
