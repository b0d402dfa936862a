"""Weather: snow, frost, fog, and more light."""

import math

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from visionlib.data.corruption.sampling import (
    blur_along_line,
    magnifying_matrix,
    map_axes,
    pixel_scale,
    to_fractions,
    to_pixels,
)
from visionlib.data.corruption.texture import draw_clouds, draw_frost
from visionlib.data.random import Stream, random_values

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""
_FROST_TINT = (0.88, 0.95, 1.0)
"""Ice is bluish."""


def add_snow(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    seed: int,
    mean: float,
    std: float,
    zoom: float,
    threshold: float,
    radius_px: float,
    sigma_px: float,
    kept: float,
) -> UInt8[Tensor, "n c h w"]:
    """Whiten each image a little, and add flakes that fall along a line, and the same flakes turned by 180 degrees.

    Args:
        images: pixels as stored; not modified.
        index: stable id of each image.
        seed: of the random choices.
        mean: of the normal field that the flakes are the peaks of.
        std: likewise.
        zoom: magnification of the field.
        threshold: values of the field below it are no flakes.
        radius_px: of the motion blur of the flakes.
        sigma_px: likewise.
        kept: weight of the image; the rest is of it whitened.
    """
    scale, (height, width) = pixel_scale(images), images.shape[2:]
    uniform = random_values(seed, index, Stream.SNOW_FLAKES, height * width).view(-1, 1, height, width)
    field = mean + std * torch.special.ndtri(uniform)
    factor = zoom * max(1.0, scale)
    field = map_axes(field, *(magnifying_matrix(side, factor) for side in (height, width)))
    flakes = torch.where(field < threshold, 0.0, field.clamp(0, 1))
    angles = -math.pi / 4 * (1 + 2 * random_values(seed, index, Stream.SNOW_ANGLE, 1)[:, 0])
    flakes = blur_along_line(flakes, angles, radius_px=radius_px * scale, sigma_px=sigma_px * scale)
    values = to_fractions(images)
    whitened = torch.maximum(values, 1.5 * _brightness(values) + 0.5)
    return to_pixels(kept * values + (1 - kept) * whitened + flakes + flakes.flip(2, 3))


def _brightness(values: Float64[Tensor, "n c h w"]) -> Float64[Tensor, "n 1 h w"]:
    if values.shape[1] == 1:
        return values
    weights = torch.tensor(_LUMA, dtype=torch.float64)[:, None, None]
    return (values * weights).sum(1, keepdim=True)


def add_frost(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, kept: float, amount: float
) -> UInt8[Tensor, "n c h w"]:
    """Add the light of a frosted pane: `kept` times the image and `amount` times the pane."""
    pane = draw_frost(index, seed, (images.shape[2], images.shape[3]))[:, None]
    tint = torch.tensor(_FROST_TINT, dtype=torch.float64)[:, None, None]
    tint = tint if images.shape[1] == len(_FROST_TINT) else tint.mean(0, keepdim=True)
    return to_pixels(kept * to_fractions(images) + amount * tint * pane)


def add_fog(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, amount: float, decay: float
) -> UInt8[Tensor, "n c h w"]:
    """Add clouds, and darken the sum so that the brightest possible value is that of the image."""
    values = to_fractions(images)
    clouds = draw_clouds(index, seed, Stream.FOG, (images.shape[2], images.shape[3]), decay)[:, None]
    brightest = values.amax((1, 2, 3), keepdim=True)
    return to_pixels((values + amount * clouds) * brightest / (brightest + amount))


def brighten(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, amount: float
) -> UInt8[Tensor, "n c h w"]:
    """Add to the value of each pixel in the colour space HSV, which is its largest channel; nothing is random.

    Hue and saturation stay, so that the other channels keep their ratio to the largest. Black becomes grey.
    """
    values = to_fractions(images)
    largest = values.amax(1, keepdim=True)
    brighter = (largest + amount).clamp(max=1)
    return to_pixels(torch.where(largest > 0, values * (brighter / largest), brighter))
