"""What several corruptions need: fractions and pixels, separable linear maps as matrices, motion along a line.

Everything is computed in float64 on the CPU, and a half is rounded up with a small tolerance. So the pixels do not
depend on the order of a sum, and with it not on the size of the batch or the machine.
"""

from typing import Literal

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

STANDARD_SIDE_PX = 32
"""Side of the images that the published parameters are for."""
_TOLERANCE = 1e-6
"""Far above the rounding error of float64, far below a level of a pixel."""
_LEAST_WEIGHT = 1e-6
"""Of the positions along a line, compared with the first."""


def pixel_scale(images: Tensor) -> float:
    """Return the factor of lengths in pixels: the shorter side over that of the published parameters."""
    return min(images.shape[-2:]) / STANDARD_SIDE_PX


def to_fractions(images: UInt8[Tensor, "n c h w"]) -> Float64[Tensor, "n c h w"]:
    """Return pixels as fractions of 255."""
    return images.to(torch.float64) / 255


def to_pixels(fractions: Float64[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Round fractions of 255 to pixels, halves up, and clip them."""
    return (255 * fractions + (0.5 + _TOLERANCE)).floor_().clamp_(0, 255).to(torch.uint8)


def map_axes(
    values: Float64[Tensor, "n c h w"], rows: Float64[Tensor, "_h h"], columns: Float64[Tensor, "_w w"]
) -> Float64[Tensor, "n c _h _w"]:
    """Apply one matrix to every column of pixels, and another to every row."""
    return rows @ values @ columns.T


def gaussian_matrix(
    length: int, sigma_px: float, *, truncate: float, border: Literal["nearest", "reflect"]
) -> Float64[Tensor, "l l"]:
    """Return the matrix that blurs an axis with a Gaussian.

    Args:
        length: of the axis.
        sigma_px: std of the Gaussian; so small a one that no neighbour counts changes nothing.
        truncate: largest distance in stds.
        border: `nearest` repeats the outermost pixel; `reflect` mirrors the axis at its edge, outermost pixel included.
    """
    reach = int(truncate * sigma_px + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / max(sigma_px, 1e-9)) ** 2)
    positions = torch.arange(length)[:, None] + offsets
    if border == "nearest":
        positions = positions.clamp(0, length - 1)
    else:
        positions = positions % (2 * length)
        positions = torch.minimum(positions, 2 * length - 1 - positions)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, positions, (weights / weights.sum()).expand(length, -1))


def magnifying_matrix(length: int, factor: float) -> Float64[Tensor, "l l"]:
    """Return the matrix that magnifies an axis about its centre, bilinearly, and keeps its length; `factor` >= 1."""
    centre = (length - 1) / 2
    positions = (torch.arange(length, dtype=torch.float64) - centre) / factor + centre
    return (1 - (positions[:, None] - torch.arange(length)).abs()).clamp(min=0)


def reflect_positions(positions: Int64[Tensor, "*p"], length: int) -> Int64[Tensor, "*p"]:
    """Fold positions beyond an axis back, by mirrors at the outermost pixels, which are not repeated."""
    period = max(1, 2 * (length - 1))
    positions = positions % period
    return torch.minimum(positions, period - positions) if length > 1 else torch.zeros_like(positions)


def gather_pixels(values: Tensor, rows: Int64[Tensor, "n #h #w"], columns: Int64[Tensor, "n #h #w"]) -> Tensor:
    """Fetch each pixel of each image from its own position; positions outside are moved to the border.

    Args:
        values: of any dtype, of shape (n, c, h, w).
        rows: of each pixel of the result.
        columns: likewise.
    """
    channels, height, width = values.shape[1:]
    positions = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(1)[:, None]
    return values.flatten(2).gather(2, positions.expand(-1, channels, -1)).view(values.shape)


def blur_along_line(
    values: Float64[Tensor, "n c h w"], angles: Float64[Tensor, "n"], *, radius_px: float, sigma_px: float
) -> Float64[Tensor, "n c h w"]:
    """Average pixels along a line from each pixel, with the weights of half a Gaussian, as ImageMagick describes it.

    Args:
        values: of any range.
        angles: direction of each image's line in radians; 0 is to the right, and rows run down.
        radius_px: the line has 2 radius + 1 positions, a pixel apart, each moved to the nearest pixel.
        sigma_px: std of the Gaussian.
    Source: https://imagemagick.org/script/command-line-options.php#motion-blur and the text of its kernel.
    """
    height, width = values.shape[2:]
    distances = torch.arange(2 * round(radius_px) + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (distances / sigma_px) ** 2)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    result = torch.zeros_like(values)
    pairs = zip(weights.tolist(), distances.tolist(), strict=True)
    kept = [(weight, distance) for weight, distance in pairs if weight >= _LEAST_WEIGHT]
    for weight, distance in kept:
        down, right = (
            (distance * part).round().to(torch.int64)[:, None, None] for part in (angles.sin(), angles.cos())
        )
        result.add_(gather_pixels(values, rows + down, columns + right), alpha=weight)
    return result.div_(sum(weight for weight, _ in kept))
