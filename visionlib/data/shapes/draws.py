"""The random numbers of drawn images: one row per image, consumed in call order."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_uniform

_NUMBERS = 128
"""Numbers per image; a drawing takes fewer. Another number would change the data."""

_GRAIN = 2**18
"""Length of the noise band from which every image takes its own segment."""


def draw_band(seed: int, part: int, size: int) -> Float32[Tensor, "length"]:
    """Return the noise of a part, and its beginning again, so that images of this size find theirs at any place."""
    places = torch.arange(_GRAIN + 3 * size * size) % _GRAIN
    return (2 * random_uniform(seed, part, torch.arange(_GRAIN), Stream.SHAPES_GRAIN) - 1)[places]


class Draws:
    """Random numbers for a batch of images, the next ones at each call: the order of calls is part of the data.

    Args:
        seed: of the whole set.
        part: 0 for the training images, 1 for the test images; they are independent.
        index: of each image within its part.
        band: of these images' seed and part, see `draw_band`.
    """

    def __init__(self, seed: int, part: int, index: Int64[Tensor, "n"], band: Float32[Tensor, "length"]) -> None:
        positions = index[:, None] * _NUMBERS + torch.arange(_NUMBERS)
        self._numbers = random_uniform(seed, part, positions, Stream.SHAPES_NUMBERS)
        self._band = band
        self._taken = 0

    def uniform(self, low: float, high: float) -> Float32[Tensor, "n 1 1"]:
        """Return a number of [low, high) for each image."""
        self._taken += 1
        return low + (high - low) * self._numbers[:, self._taken - 1, None, None]

    def colour(self) -> Float32[Tensor, "n 3 1 1"]:
        """Return a colour for each image, uniform in the RGB cube."""
        return torch.stack([self.uniform(0, 1) for _ in range(3)], dim=1)

    def grain(self, size: int) -> Float32[Tensor, "n 3 s s"]:
        """Return a number of [-1, 1) for every pixel and channel."""
        starts = (self.uniform(0, 1) * _GRAIN).to(torch.int64).flatten()
        return self._band.unfold(0, 3 * size * size, 1)[starts].view(-1, 3, size, size)
