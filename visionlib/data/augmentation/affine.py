"""Rotate, translate and scale images in one resampling."""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_uniform

_CHUNK = 1024
"""Images resampled at a time: in float they take four times their size, and the grid eight bytes a pixel."""


def transform_images(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    rotate_degrees: float = 10.0,
    translate_fraction: float = 0.1,
    scale_range: tuple[float, float] = (0.9, 1.1),
) -> UInt8[Tensor, "n c h w"]:
    """Rotate each image about its centre, scale it and shift it, each by its own random amount; the border is black.

    Args:
        images: uint8 pixels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        rotate_degrees: largest rotation, either way.
        translate_fraction: largest shift along each axis, as a fraction of the side, either way.
        scale_range: smallest and largest scale; above 1 magnifies.
    Raises:
        ValueError: if an amount is negative or the range is not in order above 0.
    """
    smallest, largest = scale_range
    if rotate_degrees < 0 or translate_fraction < 0 or not 0 < smallest <= largest:
        raise ValueError(
            "rotation and translation must be at least 0 and scales above 0 in order: "
            f"got {rotate_degrees}, {translate_fraction} and {scale_range}"
        )

    def draw(low: float, high: float, stream: Stream) -> Float32[Tensor, "n"]:
        return low + (high - low) * random_uniform(seed, epoch, index, stream)

    height, width = images.shape[2:]
    angles = torch.deg2rad(draw(-rotate_degrees, rotate_degrees, Stream.ROTATION))
    scales = draw(smallest, largest, Stream.SCALE)
    right_px = width * draw(-translate_fraction, translate_fraction, Stream.TRANSLATION_COLUMNS)
    down_px = height * draw(-translate_fraction, translate_fraction, Stream.TRANSLATION_ROWS)
    matrices = inverse_matrices(angles, scales, right_px, down_px, height, width)
    parts = zip(torch.split(images, _CHUNK), torch.split(matrices, _CHUNK), strict=True)
    return torch.cat([resample_images(part, matrix) for part, matrix in parts]) if len(images) else images


def inverse_matrices(
    angles: Float32[Tensor, "n"],
    scales: Float32[Tensor, "n"],
    right_px: Float32[Tensor, "n"],
    down_px: Float32[Tensor, "n"],
    height: int,
    width: int,
) -> Float32[Tensor, "n 2 3"]:
    """Return the matrices that map positions in the result to positions in the image, both from -1 to 1 per axis.

    Args:
        angles: rotation of the content in radians, clockwise as rows run down.
        scales: magnification.
        right_px: shift of the content to the right, after rotation.
        down_px: shift of the content down, after rotation.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    cosine, sine = torch.cos(angles) / scales, torch.sin(angles) / scales
    # In pixels from the centre the inverse is the opposite rotation over scale; half the sides make it relative.
    right, down = 2 * right_px / width, 2 * down_px / height
    across, along = cosine, sine * height / width
    aside, below = -sine * width / height, cosine
    first = torch.stack([across, along, -(across * right + along * down)], dim=1)
    second = torch.stack([aside, below, -(aside * right + below * down)], dim=1)
    return torch.stack([first, second], dim=1)


def resample_images(images: UInt8[Tensor, "n c h w"], matrices: Float32[Tensor, "n 2 3"]) -> UInt8[Tensor, "n c h w"]:
    """Sample every pixel of the result bilinearly at the position its matrix gives, black outside."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.to(torch.float32), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round_().clamp_(0, 255).to(torch.uint8)
