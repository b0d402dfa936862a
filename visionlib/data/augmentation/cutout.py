"""Hide a rectangle of images: a square of each (cutout), or one of random area and aspect in some (random erasing)."""

import math

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_integers, random_uniform

GRAY = 128
"""Value of hidden pixels: near 0 after normalization."""
_SMALLEST_AREA = 0.02
_LARGEST_ASPECT = 1 / 0.3


def cut_out_images(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    size_px: int,
    fill: int = GRAY,
) -> UInt8[Tensor, "n c h w"]:
    """Fill a square of every image, centred on a random pixel and clipped at the border.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        size_px: side of the square; an even one extends one pixel further up and left. 0 returns `images` itself.
        fill: the value of every hidden pixel and channel, 0 to 255.
    Raises:
        ValueError: if size_px is negative or `fill` is not a pixel value.
    Source: DeVries and Taylor 2017, arXiv:1708.04552.
    """
    if size_px < 0 or not 0 <= fill <= 255:
        raise ValueError(f"size_px must be at least 0 and fill from 0 to 255: got {size_px} and {fill}")
    if size_px == 0:
        return images
    height, width = images.shape[2:]
    rows = random_integers(seed, epoch, index, Stream.CUTOUT_ROW, height) - size_px // 2
    columns = random_integers(seed, epoch, index, Stream.CUTOUT_COLUMN, width) - size_px // 2
    size = torch.full_like(index, size_px)
    return images.masked_fill(rectangle_masks(rows, columns, size, size, height, width), fill)


def erase_images(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    fraction: float = 0.5,
    largest_area: float = 0.4,
) -> UInt8[Tensor, "n c h w"]:
    """Fill a rectangle of random area and aspect in a fraction of the images, wholly within the image.

    The area is uniform from 0.02, or `largest_area` if that is less, to `largest_area`. The aspect, height over width,
    is log-uniform from 0.3 to 1 / 0.3. Sides are rounded to pixels and are at most those of the image, where the paper
    draws again.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        fraction: probability that an image is changed; 0 returns `images` itself.
        largest_area: of the rectangle, as a fraction of the image.
    Raises:
        ValueError: if a number is not from 0 to 1.
    Source: Zhong et al. 2017, arXiv:1708.04896, with a constant value.
    """
    if not (0 <= fraction <= 1 and 0 <= largest_area <= 1):
        raise ValueError(f"fraction and largest_area must be from 0 to 1: got {fraction} and {largest_area}")
    if fraction == 0:
        return images
    height, width = images.shape[2:]
    smallest = min(_SMALLEST_AREA, largest_area)
    areas = smallest + (largest_area - smallest) * random_uniform(seed, epoch, index, Stream.ERASING_AREA)
    turns = 2 * random_uniform(seed, epoch, index, Stream.ERASING_ASPECT) - 1
    stretch = torch.exp(0.5 * math.log(_LARGEST_ASPECT) * turns)
    side = (areas * (height * width)).sqrt()
    is_changed = random_uniform(seed, epoch, index, Stream.ERASING_CHOICE) < fraction
    heights = (side * stretch).round().to(torch.int64).clamp(max=height) * is_changed
    widths = (side / stretch).round().to(torch.int64).clamp(max=width)
    rows = random_uniform(seed, epoch, index, Stream.ERASING_ROW) * (height - heights + 1)
    columns = random_uniform(seed, epoch, index, Stream.ERASING_COLUMN) * (width - widths + 1)
    masks = rectangle_masks(rows.to(torch.int64), columns.to(torch.int64), heights, widths, height, width)
    return images.masked_fill(masks, GRAY)


def rectangle_masks(
    tops: Int64[Tensor, "n"],
    lefts: Int64[Tensor, "n"],
    heights: Int64[Tensor, "n"],
    widths: Int64[Tensor, "n"],
    height: int,
    width: int,
) -> Bool[Tensor, "n 1 {height} {width}"]:
    """Mark a rectangle of each image, clipped at the border.

    Args:
        tops: first row of each.
        lefts: first column of each.
        heights: in pixels; 0 marks nothing.
        widths: in pixels; 0 marks nothing.
        height: of the images.
        width: of the images.
    """
    rows, columns = torch.arange(height, device=tops.device), torch.arange(width, device=tops.device)
    is_row = (rows >= tops[:, None]) & (rows < (tops + heights)[:, None])
    is_column = (columns >= lefts[:, None]) & (columns < (lefts + widths)[:, None])
    return (is_row[:, :, None] & is_column[:, None, :])[:, None]
