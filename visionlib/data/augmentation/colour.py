"""Change brightness, contrast, saturation and hue of images."""

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.random import Epoch, Stream, random_uniform

_CHUNK = 512
"""Images at a time, so that their dozen intermediate planes stay in the CPU's cache."""

_LUMA = (0.299, 0.587, 0.114)
"""Luma weights of red, green and blue: ITU-R BT.601."""


def jitter_colours(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    brightness: float = 0.1,
    contrast: float = 0.1,
    saturation: float = 0.1,
    hue: float = 0.1,
) -> UInt8[Tensor, "n c h w"]:
    """Change brightness, contrast, saturation and hue of each image by its own random amounts, in this order.

    Values are kept within [0, 1] after each change and rounded to pixels once, at the end. Grayscale images have
    no saturation and no hue.

    Args:
        images: pixels, of one or three channels; they are left as they are.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        brightness: the factor is drawn from [1 - brightness, 1 + brightness].
        contrast: likewise, about the mean of the grayscale image.
        saturation: likewise, about the gray of each pixel.
        hue: the shift is drawn from [-hue, hue], in turns around the colour circle.
    Raises:
        ValueError: if an amount is out of range: at least 0, for hue at most 0.5.
    """
    amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    if min(amounts.values()) < 0 or hue > 0.5:
        raise ValueError(f"amounts must be at least 0, and hue at most 0.5: got {amounts}")

    def draw(amount: float, stream: Stream) -> Float32[Tensor, "n 1 1 1"]:
        return (amount * (2 * random_uniform(seed, epoch, index, stream) - 1))[:, None, None, None]

    drawn = torch.cat(
        [
            (1 + draw(brightness, Stream.BRIGHTNESS)).clamp(min=0),
            (1 + draw(contrast, Stream.CONTRAST)).clamp(min=0),
            (1 + draw(saturation, Stream.SATURATION)).clamp(min=0),
            draw(hue, Stream.HUE),
        ],
        dim=1,
    )
    parts = zip(torch.split(images, _CHUNK), torch.split(drawn, _CHUNK), strict=True)
    changed = [change_colours(part, *torch.split(numbers, 1, dim=1)) for part, numbers in parts]
    return torch.cat(changed) if changed else images


def change_colours(
    images: UInt8[Tensor, "n c h w"],
    brightness: Float32[Tensor, "n 1 1 1"],
    contrast: Float32[Tensor, "n 1 1 1"],
    saturation: Float32[Tensor, "n 1 1 1"],
    hue: Float32[Tensor, "n 1 1 1"],
) -> UInt8[Tensor, "n c h w"]:
    """Change each image by given factors and a given hue shift in turns; see `jitter_colours`."""
    values = (images.to(torch.float32) / 255 * brightness).clamp_(0, 1)
    # In float64: threads split the sum of a single image differently from that of a batch.
    mean = _to_grayscale(values).mean((1, 2, 3), keepdim=True, dtype=torch.float64).to(torch.float32)
    values = (mean + (values - mean) * contrast).clamp_(0, 1)
    if images.shape[1] == 3:
        gray = _to_grayscale(values)
        values = (gray + (values - gray) * saturation).clamp_(0, 1)
        values = shift_hue(values, hue)
    return (values * 255).round_().clamp_(0, 255).to(torch.uint8)


def shift_hue(values: Float32[Tensor, "n 3 h w"], turns: Float32[Tensor, "n 1 1 1"]) -> Float32[Tensor, "n 3 h w"]:
    """Turn every colour around the circle of hues, keeping its HSV saturation and value.

    Args:
        values: red, green and blue in [0, 1].
        turns: one shift per image; whole turns change nothing.
    """
    red, green, blue = values.unbind(1)
    highest, lowest = values.amax(1), values.amin(1)
    chroma = highest - lowest
    divisor = torch.where(chroma > 0, chroma, 1.0)
    # Sixths of a turn from red, by which channel is highest; the first of equals, as in Python's colorsys.
    sixths = torch.where(
        red == highest,
        (green - blue) / divisor,
        torch.where(green == highest, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixths = sixths + 6 * turns[:, 0]
    # Each channel falls from the highest value by the chroma times a trapezoid of the hue.
    channels = []
    for offset in (5.0, 3.0, 1.0):
        phase = torch.remainder(sixths + offset, 6)
        channels.append(highest - chroma * torch.minimum(phase, 4 - phase).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _to_grayscale(values: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 1 h w"]:
    if values.shape[1] == 1:
        return values
    red, green, blue = torch.split(values, 1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
