"""Hold out a stratified part of a split, or divide it into folds, as a pure function of the seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.data.dataset import ImageSplit
from visionlib.data.random import Stream, random_bits
from visionlib.errors import ConfigError


def hold_out(split: ImageSplit, fraction: float, seed: int) -> tuple[ImageSplit, ImageSplit]:
    """Divide a split into two with the same class proportions; both keep the order and the stable image ids.

    Args:
        split: the split to divide.
        fraction: of each class to hold out, above 0 and below 1, rounded; a class with two images or more has at least
            one in both parts, and the only image of a class is kept.
        seed: decides which images.
    Returns:
        The kept part and the held-out part.
    Raises:
        ValueError: if `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be above 0 and below 1, and it is {fraction}")
    bits = random_bits(seed, 0, split.index, Stream.HELD_OUT)
    is_held_out = torch.zeros(len(split), dtype=torch.bool)
    for label in range(len(split.classes)):
        members = (split.labels == label).nonzero().flatten()
        if len(members) > 1:
            count = min(max(1, round(len(members) * fraction)), len(members) - 1)
            is_held_out[members[bits[members].argsort(stable=True)[:count]]] = True
    return split.subset((~is_held_out).nonzero().flatten()), split.subset(is_held_out.nonzero().flatten())


def assign_folds(split: ImageSplit, folds: int, seed: int) -> Int64[Tensor, "n"]:
    """Assign every image to a fold; a pure function of the seed, and of the images' indices and labels.

    Folds are stratified: the counts of a class in any two folds differ by at most one, and so do the folds' sizes.

    Args:
        split: the images.
        folds: number of folds.
        seed: of the order within each class.
    Raises:
        ConfigError: if there are fewer than two folds, or more folds than images.
    """
    if not 2 <= folds <= len(split):
        raise ConfigError("folds", f"{folds} is out of range", f"ask for 2 to {len(split)}")
    order = random_bits(seed, 0, split.index.cpu(), Stream.FOLDS).argsort(stable=True)
    by_class = order[split.labels.cpu()[order].argsort(stable=True)]
    assigned = torch.empty(len(split), dtype=torch.int64)
    assigned[by_class] = torch.arange(len(split)) % folds
    return assigned
