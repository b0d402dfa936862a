"""Pillow's Lanczos resampling, bit for bit, as two matrix products whose matrices are computed from height and width.

Requirements:
- The answer is that of the pixels that training saw, which Pillow resized: the same bytes, not similar ones. ONNX's own
  `Resize` has linear and cubic filters alone.
- It is traced into ONNX and run by others: no loop over pixels, and operations in float64 that all runtimes have.
  A Python number becomes a float32 in the trace, so that those with more digits, such as pi, are tensors.

Pillow computes the coefficients in float64, rounds them to 22 fractional bits, and sums in integers; each of its two
passes ends in bytes. All sums are below 2^53, so that float64 holds them exactly, in whatever order they are made. Only
a coefficient within 1e-9 of a rounding boundary could differ, by the last bit of a sine.

Source: Pillow 13, `src/libImaging/Resample.c` and `ImageOps.fit`.
"""

import math
from typing import no_type_check

import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor, nn

from visionlib.data.decode import Resize

_RADIUS = 3.0
"""Of the Lanczos filter, in pixels of the coarser grid."""
_ONE = float(1 << 22)
"""Coefficient of 1: Pillow's `PRECISION_BITS`."""

Scalar = Float64[Tensor, ""]


class PillowResample(nn.Module):
    """Resize pictures as a dataset's are: `ImageOps.fit` or `Image.resize`, with the Lanczos filter.

    Args:
        size: height and width of the results, in pixels.
        resize: `crop` for the largest centred part of that shape, `whole` for all of a picture.
    """

    def __init__(self, size: tuple[int, int], resize: Resize = "crop") -> None:
        super().__init__()
        self.size, self.resize = size, resize

    def forward(self, images: UInt8[Tensor, "n h w c"]) -> Float32[Tensor, "n c _h _w"]:
        """Return whole numbers from 0 to 255."""
        rows, columns = images.shape[1:3]
        height = torch.full((), rows, dtype=torch.float64, device=images.device)
        width = torch.full((), columns, dtype=torch.float64, device=images.device)
        left, top, right, bottom = find_box(height, width, self.size, is_whole=self.resize == "whole")
        down = make_coefficients(rows, top, bottom, self.size[0])
        across = make_coefficients(columns, left, right, self.size[1]).T
        pixels = images.permute(0, 3, 1, 2).to(torch.float64)
        is_down_first = _is_down_first(height, width, self.size)
        if torch.compiler.is_exporting():
            resized: Tensor = torch.cond(is_down_first, _down_first, _across_first, (pixels, down, across))
        else:
            resized = (_down_first if is_down_first else _across_first)(pixels, down, across)
        return resized.to(torch.float32)


def find_box(
    height: Scalar, width: Scalar, size: tuple[int, int], *, is_whole: bool
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return left, top, right and bottom of what is resized, in pixels, rounded to float32 as Pillow takes them."""
    if is_whole:
        zero = torch.zeros_like(width)
        return zero, zero, width, height
    ratio = torch.tensor(size[1] / size[0], dtype=torch.float64)
    own = width / height
    box_width = torch.where(own > ratio, ratio * height, width)
    box_height = torch.where(own < ratio, width / ratio, height)
    left, top = (width - box_width) * 0.5, (height - box_height) * 0.5
    left, top, right, bottom = (
        edge.to(torch.float32).to(torch.float64) for edge in (left, top, left + box_width, top + box_height)
    )
    return left, top, right, bottom


def make_coefficients(
    length: int | torch.SymInt, start: Scalar, end: Scalar, out_length: int
) -> Float64[Tensor, "_out _in"]:
    """Return the weight of each pixel in each resized one, as a whole number of 2^-22.

    Args:
        length: of the picture along this axis, in pixels.
        start: of the part that is resized.
        end: of that part.
        out_length: of the result.
    """
    # Pillow subtracts in float32.
    scale = (end.to(torch.float32) - start.to(torch.float32)).to(torch.float64) / out_length
    coarse = scale.clamp(min=1.0)
    radius = _RADIUS * coarse
    centers = start + (torch.arange(out_length, dtype=torch.float64, device=start.device) + 0.5) * scale
    centers = centers[:, None]
    at = torch.arange(length, dtype=torch.float64, device=start.device)[None]  # type: ignore[arg-type]  # a SymInt is one
    first = torch.floor((centers - radius + 0.5).clamp(min=0.0))
    beyond = torch.floor(centers + radius + 0.5)
    distances = (at - centers + 0.5) * (1.0 / coarse)
    is_near = (distances >= -_RADIUS) & (distances < _RADIUS) & (at >= first) & (at < beyond)
    weights = torch.where(is_near, _sinc(distances) * _sinc(distances / _RADIUS), 0.0)
    sums = weights.sum(1, keepdim=True)
    scaled = weights / torch.where(sums == 0, 1.0, sums) * _ONE
    return torch.where(scaled < 0, torch.ceil(scaled - 0.5), torch.floor(scaled + 0.5))


def _sinc(values: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    angles = values * torch.tensor(math.pi, dtype=torch.float64)
    return torch.where(values == 0, 1.0, torch.sin(angles) / torch.where(values == 0, 1.0, angles))


def _is_down_first(height: Scalar, width: Scalar, size: tuple[int, int]) -> Bool[Tensor, ""]:
    """Whether Pillow resizes along the columns first: where they shrink by more than twice as many pixels as the rows.

    Each pass rounds to bytes, so that the order matters.
    """
    shrinks = height > size[0]
    return shrinks & (height - size[0] > 2 * (width - size[1]))


# The branches of `torch.cond`, in whose trace shapes cannot be checked.
@no_type_check
def _across_first(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    return _round(down @ _round(pixels @ across))


@no_type_check
def _down_first(pixels: Tensor, down: Tensor, across: Tensor) -> Tensor:
    return _round(_round(down @ pixels) @ across)


@no_type_check
def _round(sums: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """Return the bytes of sums of bytes times coefficients."""
    return torch.floor((sums + _ONE / 2) / _ONE).clamp(0, 255)
