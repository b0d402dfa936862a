"""Which test images of a run are explained: its worst mistakes, and others by chance."""

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError
from visionlib.evaluation import load_predictions
from visionlib.runs import Run


def select_images(run: Run, split: ImageSplit, n: int, seed: int = 0) -> ImageSplit:
    """Take the mistakes with the largest loss, up to half of `n`, and others by seed, all in the split's order.

    Args:
        run: has kept its predictions of the split.
        split: the run's test split.
        n: how many; all if there are fewer.
        seed: decides which images are taken that are not among the worst mistakes.
    Raises:
        ConfigError: if n is below 1.
        RunError: if the run has kept no predictions of these images.
    """
    if n < 1:
        raise ConfigError("n", f"{n} is out of range", "explain at least 1 image")
    kept = load_predictions(run)
    return split.subset(choose_positions(kept.predictions.logits, kept.labels, split.index.cpu(), n, seed))


def choose_positions(
    logits: Tensor, labels: Int64[Tensor, "n"], index: Int64[Tensor, "n"], count: int, seed: int
) -> Int64[Tensor, "m"]:
    """Give the positions, in order, of the worst mistakes and of others by seed."""
    losses = F.cross_entropy(logits.float(), labels, reduction="none")
    is_wrong = logits.argmax(1) != labels
    by_loss = torch.where(is_wrong, losses, -1.0).argsort(descending=True, stable=True)
    worst = by_loss[: min(int(is_wrong.sum()), count // 2)]
    order = random_order(seed, 0, index, Stream.EXPLAINED_IMAGES)
    others = order[~torch.isin(order, worst)][: count - len(worst)]
    return torch.cat([worst, others]).sort().values


def take_by_index(split: ImageSplit, wanted: list[int]) -> ImageSplit:
    """Take images by what they are called for good, in the order in which they are named.

    Raises:
        ConfigError: if there is no such image.
    """
    places = {name: place for place, name in enumerate(split.index.tolist())}
    absent = [name for name in wanted if name not in places]
    if absent:
        raise ConfigError(f"image {absent[0]}", "there is none of that index in the split", f"it has {len(split):,}")
    return split.subset(torch.tensor([places[name] for name in wanted], dtype=torch.int64))
