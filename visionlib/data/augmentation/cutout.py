"""Hide a square of every image."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_integers


def cut_out_images(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    size_px: int,
    fill: int = 128,
) -> UInt8[Tensor, "n c h w"]:
    """Fill a square of every image, centred on a random pixel and clipped at the border.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        size_px: side of the square; an even one extends one pixel further up and left. 0 returns `images` itself.
        fill: the value of every hidden pixel and channel, 0 to 255; middle gray is near 0 after normalization.
    Raises:
        ValueError: if size_px is negative or `fill` is not a pixel value.
    Source: DeVries and Taylor 2017, arXiv:1708.04552.
    """
    if size_px < 0 or not 0 <= fill <= 255:
        raise ValueError(f"size_px must be at least 0 and fill from 0 to 255: got {size_px} and {fill}")
    if size_px == 0:
        return images
    height, width = images.shape[2:]
    top = random_integers(seed, epoch, index, Stream.CUTOUT_ROW, height)[:, None] - size_px // 2
    left = random_integers(seed, epoch, index, Stream.CUTOUT_COLUMN, width)[:, None] - size_px // 2
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    in_rows = (rows >= top) & (rows < top + size_px)
    in_columns = (columns >= left) & (columns < left + size_px)
    return images.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], fill)
