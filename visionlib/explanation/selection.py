"""Selection of a run's test images to explain: by index, or the worst mistakes and a random sample."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError
from visionlib.inference.predictions import load_predictions
from visionlib.runs import Run


def select_images(
    run: Run, split: ImageSplit, *, index: Sequence[int] | None = None, n: int, seed: int = 0
) -> tuple[ImageSplit, str]:
    """Select images by index, or those with the largest loss among the mistakes, up to half of `n`, and others by seed.

    Args:
        run: has stored predictions of the split.
        split: the run's test split.
        index: stable image ids; the images come in this order.
        n: number of images, if no index is given; all if there are fewer. They come in the split's order.
        seed: of the sample of the others.
    Returns:
        The images, and a description of the selection.
    Raises:
        ConfigError: if n is below 1, or there is no image of an index.
        RunError: if the run has stored no predictions of these images.
    """
    if index is not None:
        positions = {number: position for position, number in enumerate(split.index.tolist())}
        absent = [number for number in index if number not in positions]
        if absent:
            raise ConfigError(
                f"image {absent[0]}", "there is none of that index in the split", f"it has {len(split):,}"
            )
        chosen = torch.tensor([positions[number] for number in index], dtype=torch.int64)
        return split.subset(chosen), "images that were named"
    if n < 1:
        raise ConfigError("n", f"{n} is out of range", "explain at least 1 image")
    stored = load_predictions(run)
    selected = split.subset(choose_positions(stored.predictions.logits, stored.labels, split.index.cpu(), n, seed))
    if len(selected) == len(split):
        return selected, "all test images"
    rule = f"the worst mistakes, at most half of them, and others by seed {seed}"
    return selected, f"{len(selected):,} test images: {rule}"


def choose_positions(
    logits: Tensor, labels: Int64[Tensor, "n"], index: Int64[Tensor, "n"], count: int, seed: int
) -> Int64[Tensor, "m"]:
    """Return the positions, in ascending order, of the worst mistakes and of a sample of the others by seed."""
    losses = F.cross_entropy(logits.float(), labels, reduction="none")
    is_wrong = logits.argmax(1) != labels
    by_loss = torch.where(is_wrong, losses, -1.0).argsort(descending=True, stable=True)
    worst = by_loss[: min(int(is_wrong.sum()), count // 2)]
    order = order_sample(index, seed)
    others = order[~torch.isin(order, worst)][: count - len(worst)]
    return torch.cat([worst, others]).sort().values


def order_sample(index: Int64[Tensor, "n"], seed: int) -> Int64[Tensor, "n"]:
    """Return all positions in the order in which a sample takes them."""
    return random_order(seed, 0, index, Stream.EXPLAINED_IMAGES)
