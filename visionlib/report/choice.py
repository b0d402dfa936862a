"""Selection of the test images that a page lists, and of those that it has pictures of."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_order

MOST_LISTED = 20_000
"""Largest number of listed images; with more the page would open slowly."""
MOST_PICTURES = 1_800
MOST_NEIGHBOURED = 200
LEAST_SAMPLE = 200
"""Pictures reserved for a sample of the correct images, however many mistakes there are."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Positions in the test split, each in the order of the split.

    Attributes:
        listed: images that the page lists.
        pictured: those with a picture.
        neighboured: those with their nearest training images.
        words: description of the pictures, in a sentence.
    """

    listed: Int64[Tensor, "r"]
    pictured: Int64[Tensor, "p"]
    neighboured: Int64[Tensor, "q"]
    words: str


def choose_images(
    losses: Float64[Tensor, "n"],
    is_correct: Tensor,
    index: Int64[Tensor, "n"],
    explained: Int64[Tensor, "e"],
    referenced: Int64[Tensor, "d"],
    *,
    is_full: bool,
    most_pictures: int = MOST_PICTURES,
) -> Choice:
    """Choose the mistakes by loss, the largest first, then a sample of the correct images.

    Args:
        losses: of each image.
        is_correct: whether each prediction is correct.
        index: stable image ids, which determine the sample.
        explained: positions of images with maps.
        referenced: positions of images in other parts of the page, such as label candidates.
        is_full: include a picture of every listed image.
        most_pictures: largest number of pictures otherwise, besides `explained` and `referenced`.
    """
    n, required = len(losses), torch.cat([explained, referenced])
    by_loss = torch.where(is_correct, -1.0, losses).argsort(descending=True, stable=True)
    wrong = by_loss[: n - int(is_correct.sum())]
    order = random_order(0, 0, index, Stream.REPORT_SAMPLE)
    correct = order[is_correct[order]]
    listed = torch.arange(n) if n <= MOST_LISTED else torch.unique(torch.cat([wrong, required, correct])[:MOST_LISTED])
    neighboured = torch.unique(torch.cat([wrong if is_full else wrong[:MOST_NEIGHBOURED], explained]))
    if is_full:
        words = f"pictures of all {n:,} test images" if len(listed) == n else f"pictures of {len(listed):,} test images"
        return Choice(listed, listed, neighboured, words)
    mistakes = wrong[: most_pictures - min(len(correct), LEAST_SAMPLE, most_pictures // 4)]
    sample = min(len(correct), most_pictures - len(mistakes))
    pictured = torch.unique(torch.cat([mistakes, correct[:sample], required]))
    worst = f"all {len(wrong):,}" if len(mistakes) == len(wrong) else f"the worst {len(mistakes):,} of {len(wrong):,}"
    words = f"pictures of {worst} mistakes and of a sample of {sample:,} of the {len(correct):,} correct images"
    return Choice(listed, pictured[torch.isin(pictured, listed)], neighboured, words)
