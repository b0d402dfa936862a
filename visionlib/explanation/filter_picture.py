"""The filters of a convolution."""

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.image_grid import Tile, color_map, draw_grid
from visionlib.explanation.filters import Filters

MOST_SHOWN = 128


def draw_filters(filters: Filters) -> Figure:
    """Draw filters side by side, in the order of their channels, each with its own scale.

    Filters on three channels are shown in colour and those on one in grayscale, where middle grey is 0. For more
    channels the picture shows the Euclidean length over the input channels.
    """
    norms = filters.norms.tolist()
    shown = range(min(len(filters), MOST_SHOWN))
    tiles = [Tile(_color(filters.weights[number]), (f"{number}: {norms[number]:.3g}",)) for number in shown]
    return draw_grid([("", tiles)], title=f"{describe_filters(filters)} Below: number and length.")


def describe_filters(filters: Filters) -> str:
    """Describe the picture in words."""
    channels, rows, columns = filters.weights.shape[1:]
    first = f"the first {MOST_SHOWN} of " if len(filters) > MOST_SHOWN else ""
    described = f"Filters of {filters.layer}: {first}{len(filters)}, {rows} x {columns} pixels on {channels} channels."
    if channels == 3:
        return f"{described} Colours are the weights for red, green and blue; middle grey is 0; each has its own scale."
    if channels == 1:
        return f"{described} Bright is positive, dark is negative, middle grey is 0; each has its own scale."
    return f"{described} From dark (0) to bright: the length of the weights over all channels; each has its own scale."


def _color(weights: Float32[Tensor, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    if len(weights) not in (1, 3):
        strength = weights.norm(dim=0)
        return color_map(strength, 0.0, float(strength.max()))
    largest = float(weights.abs().max()) or 1.0
    fractions = (0.5 + 0.5 * weights.double() / largest).expand(3, -1, -1)
    pixels = (255 * fractions).round().to(torch.uint8).permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy())
