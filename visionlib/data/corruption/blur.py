"""Blur: of a lens out of focus, of frosted glass, of a camera that moves, and of one that approaches."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from visionlib.data.corruption.sampling import (
    blur_along_line,
    gather_pixels,
    gaussian_matrix,
    magnifying_matrix,
    map_axes,
    pixel_scale,
    reflect_positions,
    to_fractions,
    to_pixels,
)
from visionlib.data.random import Stream, random_values


def blur_by_defocus(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, radius_px: float, alias_px: float
) -> UInt8[Tensor, "n c h w"]:
    """Average over a disk whose edge is softened by a Gaussian; nothing is random."""
    scale = pixel_scale(images)
    kernel = disk_kernel(radius_px * scale, alias_px * scale, reach_px=math.ceil(scale))
    reach = len(kernel) // 2
    rows, columns = (reflect_positions(torch.arange(-reach, side + reach), side) for side in images.shape[2:])
    padded = to_fractions(images)[:, :, rows][..., columns].flatten(0, 1)[:, None]
    return to_pixels(F.conv2d(padded, kernel[None, None]).view(images.shape))


def disk_kernel(radius_px: float, alias_px: float, *, reach_px: int) -> Float64[Tensor, "k k"]:
    """Return the disk of pixels within a radius, convolved with a Gaussian of `reach_px` to each side."""
    reach = int(radius_px) + reach_px
    offsets = torch.arange(-reach, reach + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).to(torch.float64)
    weights = torch.exp(-0.5 * (torch.arange(-reach_px, reach_px + 1, dtype=torch.float64) / alias_px) ** 2)
    soft = torch.outer(weights, weights) / weights.sum() ** 2
    return F.conv2d((disk / disk.sum())[None, None], soft[None, None], padding=reach_px)[0, 0]


def blur_by_glass(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    seed: int,
    sigma_px: float,
    offset_px: float,
    times: float,
) -> UInt8[Tensor, "n c h w"]:
    """Blur with a Gaussian, fetch every pixel from a random neighbour, some times, and blur again."""
    height, width = images.shape[2:]
    scale = pixel_scale(images)
    reach = max(1, round(offset_px * scale))
    blurs = [gaussian_matrix(side, sigma_px * scale, truncate=4, border="nearest") for side in (height, width)]
    values = map_axes(to_fractions(images), *blurs)
    uniform = random_values(seed, index, Stream.GLASS_OFFSETS, int(times) * 2 * height * width)
    offsets = (uniform * (2 * reach)).to(torch.int64).view(len(images), int(times), 2, height, width) - reach
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    for down, right in offsets.permute(1, 2, 0, 3, 4):
        values = gather_pixels(values, rows + down, columns + right)
    return to_pixels(map_axes(values, *blurs))


def blur_by_motion(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, radius_px: float, sigma_px: float
) -> UInt8[Tensor, "n c h w"]:
    """Smear each image along a line, at most 45 degrees from the horizontal."""
    scale = pixel_scale(images)
    angles = (random_values(seed, index, Stream.MOTION_ANGLE, 1)[:, 0] - 0.5) * (math.pi / 2)
    return to_pixels(
        blur_along_line(to_fractions(images), angles, radius_px=radius_px * scale, sigma_px=sigma_px * scale)
    )


def blur_by_zoom(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, largest: float
) -> UInt8[Tensor, "n c h w"]:
    """Average the image, and it magnified by 1.00, 1.01 ... up to `largest`; nothing is random."""
    values = to_fractions(images)
    steps = round((largest - 1) * 100)
    total = 2 * values
    for step in range(1, steps + 1):
        total += map_axes(values, *(magnifying_matrix(side, 1 + step / 100) for side in images.shape[2:]))
    return to_pixels(total / (steps + 2))
