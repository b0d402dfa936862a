"""Balanced epochs: every class is drawn equally often, whatever its size.

Requirements:
- A pure function of (seed, epoch, image): a resumed run and any number of processes draw the same.
- An epoch still has as many draws as there are images. The n draws are divided over the k classes that have images; in
  every epoch, and in the whole training, the numbers of draws of two classes differ by at most one.
- The images of a class take turns: they are drawn in random order, then in another random order, and so on across the
  epochs. So their numbers of draws in the whole training differ by at most one, and a large class leaves none out.
- An image that is drawn twice in an epoch is augmented in two ways: the pass, the number of its draws before, stands
  for the epoch in its augmentation.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.data.dataset import ImageSplit
from visionlib.data.random import Stream, random_bits


def balanced_draws(split: ImageSplit, *, seed: int, epoch: int) -> Int64[Tensor, "n 2"]:
    """Draw an epoch in which all classes with images have the same share.

    Returns:
        The position in `split` and the pass of each draw, in random order.
    """
    counts = torch.bincount(split.labels, minlength=len(split.classes)).tolist()
    by_class = torch.split(split.labels.argsort(stable=True), counts)
    present = [members for members in by_class if len(members)]
    drawn = []
    for rank, members in enumerate(present):
        # These quotients over all ranks sum up to the draws so far, by Hermite's identity.
        first, last = ((past * len(split) + rank) // len(present) for past in (epoch, epoch + 1))
        drawn.append(_draw(members, split.index[members], seed, first, last))
    draws = torch.cat(drawn) if drawn else torch.zeros(0, 2, dtype=torch.int64)
    positions, passes = draws.unbind(1)
    keys = random_bits(seed, passes, split.index[positions], Stream.BALANCED_ORDER)
    return draws[keys.argsort(stable=True)]


def _draw(
    members: Int64[Tensor, "m"], index: Int64[Tensor, "m"], seed: int, first: int, last: int
) -> Int64[Tensor, "d 2"]:
    """Take the draws `first` to `last` of the endless sequence of a class, one random order after another."""
    m = len(members)
    passes = torch.arange(first // m, -(-last // m), device=members.device)[:, None].expand(-1, m)
    keys = random_bits(seed, passes, index.expand_as(passes), Stream.BALANCED_DRAWS)
    sequence = torch.stack([members[keys.argsort(dim=1, stable=True)], passes], dim=2).flatten(0, 1)
    return sequence[first % m :][: last - first]
