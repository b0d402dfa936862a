"""The grid pointing game: localization of one of four images, which needs no masks."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.data.random import Stream, random_order
from visionlib.errors import ModelError
from visionlib.explanation.methods import MapFunction

LEAST_PROBABILITY = 0.9
CHANCE = 0.25


def choose_grids(
    probabilities: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"], index: Int64[Tensor, "n"], count: int, seed: int
) -> Int64[Tensor, "m 4"]:
    """Choose images for grids of two by two: of four classes, classified correctly with a probability of at least 0.9.

    Returns:
        Positions, four per grid. Each image is in at most one grid, so there may be fewer grids than `count`.
    """
    confidence, predictions = probabilities.max(1)
    order = random_order(seed, 0, index, Stream.POINTING_GRIDS)
    usable = order[((confidence >= LEAST_PROBABILITY) & (predictions == labels))[order]]
    queues: dict[int, list[int]] = {}
    for position in usable.tolist():
        queues.setdefault(int(labels[position]), []).append(position)
    grids: list[list[int]] = []
    while len(grids) < count:
        # Taking the four classes with most images left gives the largest number of grids.
        fullest = sorted(queues, key=lambda label: (-len(queues[label]), label))[:4]
        if len(fullest) < 4 or not queues[fullest[-1]]:
            break
        grids.append([queues[label].pop(0) for label in fullest])
    return torch.tensor(grids, dtype=torch.int64).view(-1, 4)


def play_grids(
    make_maps: MapFunction,
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    labels: Int64[Tensor, "n"],
    grids: Int64[Tensor, "m 4"],
) -> Float32[Tensor, "p"] | None:
    """Join four images into one, explain the class of each, and return the fraction of evidence in its quarter.

    Args:
        make_maps: the method.
        model: accepts inputs of any size, such as a network with global average pooling.
        inputs: normalized images.
        labels: their classes.
        grids: positions of the images.
    Returns:
        A fraction for each image of each grid, 0 for a map without evidence; None if the network does not accept inputs
        of twice the side.
    Source: Rao et al. 2022, arXiv:2205.11266.
    """
    if not len(grids):
        return torch.zeros(0)
    top, bottom = (torch.cat([inputs[grids[:, a]], inputs[grids[:, b]]], dim=3) for a, b in ((0, 1), (2, 3)))
    tiled = torch.cat([top, bottom], dim=2)
    fractions = []
    for quarter in range(4):
        try:
            maps = make_maps(model, tiled, labels[grids[:, quarter]]).cpu()
        except (RuntimeError, ModelError):
            return None
        row, column = divmod(quarter, 2)
        height, width = maps.shape[1] // 2, maps.shape[2] // 2
        if 2 * height != maps.shape[1] or 2 * width != maps.shape[2]:
            return None
        inside = maps[:, row * height :, column * width :][:, :height, :width].sum((1, 2))
        total = maps.sum((1, 2))
        fractions.append(torch.where(total > 0, inside / total.clamp(min=1e-30), 0.0))
    return torch.stack(fractions, 1).flatten()
