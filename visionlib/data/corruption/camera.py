"""Beyond the standard ones: a camera that is moved or turned, or that has fewer pixels."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.corruption.sampling import (
    gather_pixels,
    map_axes,
    pixel_scale,
    reflect_positions,
    to_fractions,
    to_pixels,
)
from visionlib.data.random import Stream, random_values


def move_sideways(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, distance_px: float
) -> UInt8[Tensor, "n c h w"]:
    """Shift each image in a random direction by whole pixels, mirroring it at its outermost pixels."""
    height, width = images.shape[2:]
    angles = 2 * math.pi * random_values(seed, index, Stream.SHIFT_ANGLE, 1)[:, 0]
    distance = distance_px * pixel_scale(images)
    down, right = ((distance * part).round().to(torch.int64)[:, None] for part in (angles.sin(), angles.cos()))
    rows = reflect_positions(torch.arange(height) - down, height)
    columns = reflect_positions(torch.arange(width) - right, width)
    return gather_pixels(images, rows[:, :, None], columns[:, None])


def turn(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, degrees: float
) -> UInt8[Tensor, "n c h w"]:
    """Turn each image about its centre, clockwise or back at random, mirroring it at its edge; bilinear."""
    height, width = images.shape[2:]
    signs = torch.where(random_values(seed, index, Stream.ROTATION_SIGN, 1)[:, 0] < 0.5, -1.0, 1.0)
    angles = signs.to(torch.float64)[:, None, None] * math.radians(degrees)
    rows = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    from_columns = angles.cos() * columns + angles.sin() * rows
    from_rows = angles.cos() * rows - angles.sin() * columns
    grid = torch.stack([2 * from_columns / width, 2 * from_rows / height], 3)
    turned = F.grid_sample(to_fractions(images), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return to_pixels(turned)


def lower_resolution(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, fraction: float
) -> UInt8[Tensor, "n c h w"]:
    """Shrink each image to a fraction of its sides and enlarge it again, smoothly; nothing is random."""
    matrices = []
    for side in images.shape[2:]:
        small = max(1, round(side * fraction))
        matrices.append(triangle_matrix(small, side) @ triangle_matrix(side, small))
    return to_pixels(map_axes(to_fractions(images), *matrices))


def triangle_matrix(length: int, new_length: int) -> Tensor:
    """Return the float64 matrix, of shape (new_length, length), that resizes an axis by an antialiased triangle."""
    ratio = length / new_length
    middles = (torch.arange(new_length, dtype=torch.float64) + 0.5) * ratio - 0.5
    weights = (1 - (middles[:, None] - torch.arange(length)).abs() / max(1.0, ratio)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
