"""Hold a part of a split out, class by class, as a pure function of the seed."""

import torch

from visionlib.data.dataset import ImageSplit
from visionlib.data.random import Stream, random_bits


def hold_out(split: ImageSplit, fraction: float, seed: int) -> tuple[ImageSplit, ImageSplit]:
    """Part a split in two with the same mix of classes; both keep the order and the indices they had.

    Args:
        split: what to part.
        fraction: share of each class to hold out, above 0 and below 1, rounded; of a class with two images or more at
            least one lands on either side, and the only image of a class is kept.
        seed: another seed holds out others.
    Returns:
        What is kept, and what is held out.
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
