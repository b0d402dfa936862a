"""Noise: of a sensor in the dark, of few photons, and of values that are lost."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.corruption.sampling import to_fractions, to_pixels
from visionlib.data.random import Stream, random_values


def add_gaussian_noise(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, std: float
) -> UInt8[Tensor, "n c h w"]:
    """Add a normal number to every value; `std` is a fraction of 255."""
    uniform = random_values(seed, index, Stream.GAUSSIAN_NOISE, images[0].numel()).view(images.shape)
    return to_pixels(to_fractions(images) + std * torch.special.ndtri(uniform))


def add_shot_noise(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, photons: float
) -> UInt8[Tensor, "n c h w"]:
    """Replace every value by a Poisson number of photons, of which white has `photons` on average.

    A table of the distribution of each of the 256 values is inverted: the key of value v and probability p is v + p.
    """
    most = int(photons + 12 * photons**0.5 + 12)
    rates = torch.arange(256, dtype=torch.float64)[:, None] * photons / 255
    counts = torch.arange(most, dtype=torch.float64)
    table = torch.special.gammaincc(counts + 1, rates)  # P(number <= count)
    keys = (torch.arange(256)[:, None] + table.clamp(max=1)).flatten()
    uniform = random_values(seed, index, Stream.SHOT_NOISE, images[0].numel()).view(images.shape)
    drawn = torch.searchsorted(keys, images + uniform) - most * images.to(torch.int64)
    return to_pixels(drawn.to(torch.float64) / photons)


def add_impulse_noise(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, fraction: float
) -> UInt8[Tensor, "n c h w"]:
    """Make a fraction of the values, each channel by itself, 0 or 255 with equal probability: salt and pepper."""
    uniform = random_values(seed, index, Stream.IMPULSE_NOISE, images[0].numel()).view(images.shape)
    return images.masked_fill(uniform < fraction, 255).masked_fill(uniform < fraction / 2, 0)
