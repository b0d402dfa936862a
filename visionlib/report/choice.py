"""Which test images a page has pictures of, and which it lists at all."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_order

MOST_LISTED = 20_000
"""Images of a split that are listed one by one: beyond it a page would not open fast."""
MOST_PICTURES = 1_800
MOST_NEIGHBOURED = 200
LEAST_SAMPLE = 200
"""Pictures that are kept for a sample of the images that are right, however many mistakes there are."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Positions in the test split, each in the split's order.

    Attributes:
        listed: images that the page knows of one by one.
        pictured: those of them that it has a picture of.
        neighboured: those of which it shows the nearest training images, too.
        words: which images have pictures, in a sentence.
    """

    listed: Int64[Tensor, "r"]
    pictured: Int64[Tensor, "p"]
    neighboured: Int64[Tensor, "q"]
    words: str


def choose_images(
    losses: Float64[Tensor, "n"],
    is_right: Tensor,
    index: Int64[Tensor, "n"],
    explained: Int64[Tensor, "e"],
    referred: Int64[Tensor, "d"],
    *,
    is_full: bool,
    most_pictures: int = MOST_PICTURES,
) -> Choice:
    """Choose by loss: mistakes first, the worst first; then a sample of the others.

    Args:
        losses: of each image.
        is_right: whether it is predicted right.
        index: what each image is called for good; decides the sample.
        explained: positions of images that have maps.
        referred: positions of images that something else on the page refers to, such as doubtful labels.
        is_full: give every listed image a picture.
        most_pictures: at most so many otherwise, besides `explained` and `referred`.
    """
    n, wanted = len(losses), torch.cat([explained, referred])
    by_loss = torch.where(is_right, -1.0, losses).argsort(descending=True, stable=True)
    wrong = by_loss[: n - int(is_right.sum())]
    order = random_order(0, 0, index, Stream.REPORT_SAMPLE)
    right = order[is_right[order]]
    listed = torch.arange(n) if n <= MOST_LISTED else _join(torch.cat([wrong, wanted, right])[:MOST_LISTED])
    neighboured = _join(torch.cat([wrong if is_full else wrong[:MOST_NEIGHBOURED], explained]))
    if is_full:
        words = f"pictures of all {n:,} test images" if len(listed) == n else f"pictures of {len(listed):,} test images"
        return Choice(listed, listed, neighboured, words)
    mistakes = wrong[: most_pictures - min(len(right), LEAST_SAMPLE, most_pictures // 4)]
    sample = min(len(right), most_pictures - len(mistakes))
    pictured = _join(torch.cat([mistakes, right[:sample], wanted]))
    told = f"all {len(wrong):,}" if len(mistakes) == len(wrong) else f"the worst {len(mistakes):,} of {len(wrong):,}"
    words = f"pictures of {told} mistakes and of a sample of {sample:,} of the {len(right):,} images that are right"
    return Choice(listed, pictured[torch.isin(pictured, listed)], neighboured, words)


def _join(positions: Int64[Tensor, "_"]) -> Int64[Tensor, "_"]:
    joined: Tensor = torch.unique(positions)
    return joined
