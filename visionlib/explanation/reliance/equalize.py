"""`equalize`: make one property the same in all images, and leave the others as they are, as far as that goes."""

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from visionlib.evaluation.shortcuts.probes import REGIONS, mark_region

_WHOLE = ("brightness", "contrast", "saturation", "colour")
"""Properties of whole images that can be made equal. Sharpness cannot; size and mode of the file are not in pixels."""
SAME = {"hues": "saturation"}
"""Properties that another one takes along: an image without saturation has no hue."""
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_CORNER, _STRIP = 5, 16
"""A corner is replaced to a fifth of the sides, an edge and the border to a sixteenth."""
_LEAST_STD = 1.0


def list_equalizable(channels: int) -> tuple[str, ...]:
    """List the properties that images of one or three channels can be made equal in."""
    of_colour = ("saturation", "colour") if channels == 1 else ()
    return tuple(name for name in (*_WHOLE, *REGIONS) if name not in of_colour)


def mark_replaced(name: str, height: int, width: int) -> Bool[Tensor, "h w"] | None:
    """Mark the pixels that are replaced; None for a property of whole images."""
    if name not in REGIONS:
        return None
    return mark_region(name, height, width, _CORNER if "corner" in name else _STRIP)


def equalize(images: UInt8[Tensor, "n c h w"], name: str) -> UInt8[Tensor, "n c h w"]:
    """Make a property the same in all images; values are clamped to 0 to 255, and rounded.

    - brightness: a constant is added to each image, so that its mean luma is that of all images.
    - contrast: the distances from each image's mean are scaled, so that the std of its luma is the mean of all images.
    - colour: a constant is added to each channel of each image, so that its mean is that of all images.
    - saturation: every pixel gets its luma in all channels.
    - corners, edges, border: the pixels there are those of the mean of all images.

    Args:
        images: all of them: means are over these.
        name: one of `list_equalizable`.
    Raises:
        ValueError: if the property is another one.
    """
    if name not in list_equalizable(images.shape[1]):
        raise ValueError(f"{name} is none of {', '.join(list_equalizable(images.shape[1]))}")
    pixels = images.float()
    region = mark_replaced(name, *images.shape[2:])
    if region is not None:
        return torch.where(region.to(images.device), _round(pixels.mean(0)), images)
    luma = _weigh(pixels)
    if name == "brightness":
        means = luma.mean((1, 2, 3), keepdim=True)
        return _round(pixels + means.mean() - means)
    if name == "contrast":
        # Means of the channels stay: only distances from them change.
        means = pixels.mean((2, 3), keepdim=True)
        stds = (luma - luma.mean((1, 2, 3), keepdim=True)).square().mean((1, 2, 3), keepdim=True).sqrt()
        return _round(means + (pixels - means) * (stds.mean() / stds.clamp(min=_LEAST_STD)))
    if name == "colour":
        means = pixels.mean((2, 3), keepdim=True)
        return _round(pixels + means.mean(0, keepdim=True) - means)
    return _round(luma.expand_as(pixels))


def _weigh(pixels: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 1 h w"]:
    if pixels.shape[1] == 1:
        return pixels
    return (pixels * _LUMA.to(pixels.device)[:, None, None]).sum(1, keepdim=True)


def _round(pixels: Float32[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    return pixels.round().clamp(0, 255).to(torch.uint8)
