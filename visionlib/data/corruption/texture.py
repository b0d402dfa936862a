"""Random textures of a size, one for each image: clouds by the diamond-square algorithm, and crystals of frost."""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_values

_CRYSTALS = 7
_BRANCH_ANGLE = math.pi / 3
"""Ice branches at 60 degrees."""
_HAZE, _HAZE_VARIATION, _CRYSTAL = 0.2, 0.45, 0.6
"""Brightness of the frost between the crystals, and what clouds and crystals add to it."""


def draw_clouds(
    index: Int64[Tensor, "n"], seed: int, stream: Stream, size: tuple[int, int], decay: float
) -> Float64[Tensor, "n h w"]:
    """Draw a field of values from 0 to 1 for each image, rough at all lengths.

    The diamond-square algorithm on a torus: a coarse grid is refined by halves; each new point is the mean of its four
    neighbours and a uniform random number, whose amplitude falls by decay squared at each halving.

    Args:
        index: stable id of each image.
        seed: of the random choices.
        stream: what the field is used for.
        size: height and width; cut from a square whose side is the next power of two.
        decay: above 1; the larger, the smoother.
    Source: Fournier, Fussell and Carpenter 1982, doi 10.1145/358523.358553.
    """
    side = max(2, 1 << (max(size) - 1).bit_length())
    noise = 2 * random_values(seed, index, stream, side * side).view(-1, side, side) - 1
    field = torch.zeros_like(noise)
    step, amplitude = side, 1.0
    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        below = corners.roll(-1, 1)
        sums = corners + below + corners.roll(-1, 2) + below.roll(-1, 2)
        centres = sums / 4 + amplitude * noise[:, half::step, half::step]
        field[:, half::step, half::step] = centres
        # Each point between two corners has them and two centres as neighbours.
        across = corners + corners.roll(-1, 2) + centres + centres.roll(1, 1)
        field[:, ::step, half::step] = across / 4 + amplitude * noise[:, ::step, half::step]
        along = corners + below + centres + centres.roll(1, 2)
        field[:, half::step, ::step] = along / 4 + amplitude * noise[:, half::step, ::step]
        step, amplitude = half, amplitude / decay**2
    lowest, highest = field.amin((1, 2), keepdim=True), field.amax((1, 2), keepdim=True)
    return ((field - lowest) / (highest - lowest))[:, : size[0], : size[1]]


def draw_frost(index: Int64[Tensor, "n"], seed: int, size: tuple[int, int]) -> Float64[Tensor, "n h w"]:
    """Draw the brightness of a frosted pane for each image, from 0 to 1: clouds, and feathery crystals over them.

    A crystal is a stem with parallel branches to both sides, shorter towards its tip. It needs no list of segments: in
    coordinates along and across the stem, the distance to the nearest branch follows from the remainder of a division.

    Args:
        index: stable id of each image.
        seed: of the random choices.
        size: height and width.
    """
    height, width = size
    clouds = draw_clouds(index, seed, Stream.FROST_HAZE, size, decay=1.6)
    side = min(size)
    numbers = random_values(seed, index, Stream.FROST_CRYSTALS, 5 * _CRYSTALS).view(-1, _CRYSTALS, 5, 1, 1)
    rows, columns = torch.arange(height, dtype=torch.float64)[:, None], torch.arange(width, dtype=torch.float64)
    brightest = torch.zeros_like(clouds)
    for at_row, at_column, turn, size_draw, gap_draw in numbers.permute(1, 2, 0, 3, 4):
        angle, length, gap = 2 * math.pi * turn, side * (0.6 + 0.6 * size_draw), side * (0.12 + 0.1 * gap_draw)
        down, right = rows - (1.4 * at_row - 0.2) * height, columns - (1.4 * at_column - 0.2) * width
        along = right * angle.cos() + down * angle.sin()
        across = (down * angle.cos() - right * angle.sin()).abs()
        foot = along - across / math.tan(_BRANCH_ANGLE)  # where the branch through this pixel leaves the stem
        to_branch = ((foot / gap + 0.5) % 1 - 0.5).abs() * gap * math.sin(_BRANCH_ANGLE)
        is_branch = (foot >= 0) & (foot <= length) & (across <= 0.4 * (length - foot))
        distance = torch.where(is_branch, to_branch, math.inf)
        distance = torch.where((along >= 0) & (along <= length), torch.minimum(distance, across), distance)
        thickness = max(1.0, 0.035 * side)
        torch.maximum(brightest, (1 - 0.6 * distance / thickness).clamp_(min=0), out=brightest)
    return (_HAZE + _HAZE_VARIATION * clouds + _CRYSTAL * brightest).clamp_(max=1)
