"""Predictions of drawn images, with mistakes wherever a test wants them."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.shapes import draw_shapes
from visionlib.inference.predictions import SplitPredictions


@functools.cache
def draw(n: int = 1000, seed: int = 0) -> ImageSplit:
    return draw_shapes(n, seed=seed, part=1)


def object_sizes(split: ImageSplit) -> Tensor:
    assert split.masks is not None
    return split.masks.float().mean((1, 2))


def predict(
    split: ImageSplit, is_wrong: Bool[Tensor, "n"], embeddings: Tensor | None = None, *, shift: int = 1
) -> SplitPredictions:
    """Logits of 5 for the label, or for a class further on where it shall be wrong."""
    said = (split.labels + shift * is_wrong.long()) % len(split.classes)
    logits = 5 * F.one_hot(said, len(split.classes)).float()
    return SplitPredictions(logits, logits, None if embeddings is None else embeddings.half())


def draw_mistakes(rates: Tensor, seed: int) -> Bool[Tensor, "n"]:
    """Draw mistakes at a rate for each image."""
    return torch.rand(len(rates), generator=torch.Generator().manual_seed(seed)) < rates
