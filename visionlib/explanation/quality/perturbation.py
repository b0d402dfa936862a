"""Deletion and insertion: the probability of a class as pixels are deleted or inserted in order of evidence."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_uniform

STEPS = 16
BASELINE = "all channels of a pixel become the mean colour of the training images, 0 after normalization"

Predict = Callable[[Tensor], Tensor]


def measure_curves(
    predict: Predict,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    maps: Float32[Tensor, "n mh mw"],
    kind: Literal["deletion", "insertion"],
    *,
    seed: int = 0,
    steps: int = STEPS,
) -> Float32[Tensor, "n s"]:
    """Return the probability of each image's class as more and more pixels are deleted or inserted.

    Pixels are ordered by the evidence of their cell, in descending order; ties are ordered by seed.

    Args:
        predict: returns probabilities for inputs.
        inputs: normalized images.
        classes: to measure the probability of.
        maps: of the evidence.
        kind: `deletion` starts from the image, `insertion` from the baseline.
        seed: of the order of ties.
        steps: number of equal groups of pixels.
    Returns:
        The probability before the first step and after each.
    Source: Petsiuk et al. 2018, arXiv:1806.07421.
    """
    ranks = rank_pixels(maps, (inputs.shape[2], inputs.shape[3]), seed)
    pixels = ranks.shape[1] * ranks.shape[2]
    values = []
    for step in range(steps + 1):
        is_first = (ranks < round(step / steps * pixels))[:, None].to(inputs.device)
        masked = inputs.masked_fill(is_first if kind == "deletion" else ~is_first, 0.0)
        values.append(predict(masked).cpu().gather(1, classes.cpu()[:, None])[:, 0])
    return torch.stack(values, 1)


def area_under(curves: Float32[Tensor, "n s"]) -> Float32[Tensor, "n"]:
    """Return the area under each curve over 0 to 1, by trapezoids."""
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)


def rank_pixels(maps: Float32[Tensor, "n mh mw"], size: tuple[int, int], seed: int = 0) -> Int64[Tensor, "n h w"]:
    """Rank the pixels of each image by the evidence of their cell, from 0 for the largest; ties are ordered by seed."""
    fine = F.interpolate(maps[:, None], size, mode="nearest-exact")[:, 0].flatten(1)
    shuffled = random_uniform(seed, 0, torch.arange(fine.shape[1]), Stream.PIXEL_TIES).argsort()
    order = shuffled[fine[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(fine.shape[1]).expand_as(order))
    return ranks.view(-1, *size)
