"""Examples of every class, sampled as a pure function of the seed."""

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order

NONE = -1


def choose_examples(split: ImageSplit, per_class: int, seed: int) -> Int64[Tensor, "k m"]:
    """Sample images of each class at random.

    The sample depends on the seed and the images' indices alone; a smaller one is the beginning of a larger one.

    Args:
        split: to sample from.
        per_class: sample size.
        seed: of the sample.
    Returns:
        Positions in the split; -1 where a class has fewer images.
    Raises:
        ValueError: if `per_class` is below 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, and it is {per_class}")
    order = random_order(seed, 0, split.index.cpu(), Stream.DATASET_EXAMPLES)
    positions = torch.full((len(split.classes), per_class), NONE, dtype=torch.int64)
    labels = split.labels.cpu()[order]
    # Sorted by class, in random order within each.
    by_class = order[labels.argsort(stable=True)]
    ends = torch.bincount(labels, minlength=len(split.classes)).cumsum(0).tolist()
    for label, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        members = by_class[start : min(end, start + per_class)]
        positions[label, : len(members)] = members
    return positions
