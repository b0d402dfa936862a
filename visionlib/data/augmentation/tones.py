"""Posterize, solarize, stretch, equalize and sharpen images, as Pillow does."""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor


def posterize_images(images: UInt8[Tensor, "n c h w"], bits: Int64[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """Keep the upper bits of every value, from 1 to 8, as many as each image is given; the others become 0."""
    kept = (255 << (8 - bits)) & 255
    return images & kept.to(torch.uint8)[:, None, None, None]


def solarize_images(images: UInt8[Tensor, "n c h w"], thresholds: Int64[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """Invert the values from each image's threshold on; 256 inverts none."""
    return torch.where(images < thresholds[:, None, None, None], images, 255 - images)


def stretch_contrast(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Stretch the values of each channel of each image linearly, so that the lowest is 0 and the highest 255.

    A channel of a single value stays as it is. Pillow calls it autocontrast, and rounds down.
    """
    low, high = (extreme((2, 3), keepdim=True).to(torch.int32) for extreme in (images.amin, images.amax))
    span = (high - low).clamp(min=1)
    stretched = ((images - low) * 510 + span) // (2 * span)  # to the nearest value
    return torch.where(high > low, stretched, images).to(torch.uint8)


def equalize_images(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Replace every value by its rank in its channel of its image, so that the values are spread evenly.

    With `lower` pixels below a value, and `step` a 255th of all pixels but the brightest, rounded down, the new value
    is the whole part of (lower + step / 2) / step. A step of 0 changes nothing.
    """
    values = images.contiguous().flatten(2).to(torch.int32)
    levels = torch.arange(256, dtype=torch.int32, device=images.device).expand(*values.shape[:2], -1).contiguous()
    lower = torch.searchsorted(values.sort(-1).values, levels)  # pixels below each level
    below_brightest = lower.gather(2, values.amax(-1, keepdim=True).to(torch.int64))
    step = below_brightest // 255
    table = torch.where(step > 0, (lower + step // 2) // step.clamp(min=1), levels).clamp(max=255)
    return table.gather(2, values.to(torch.int64)).to(torch.uint8).view(images.shape)


def sharpen_images(images: UInt8[Tensor, "n c h w"], factors: Float32[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """Move each image away from its smoothed version: factor 0 is smoothed, 1 the image itself, 2 sharpened.

    The smoothed value is the mean over 3 x 3 pixels in which the middle one counts five times. Border pixels stay.
    """
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    values = images.to(torch.float32)
    middle = values[:, :, 1:-1, 1:-1]
    smooth = ((F.avg_pool2d(values, 3, stride=1, divisor_override=1) + 4 * middle) / 13).round()
    result = images.clone()
    sharpened = smooth + factors[:, None, None, None] * (middle - smooth)
    result[:, :, 1:-1, 1:-1] = sharpened.round().clamp(0, 255).to(torch.uint8)
    return result
