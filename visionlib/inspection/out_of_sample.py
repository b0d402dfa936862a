"""Probabilities of images that the network did not learn from: the only ones that say anything about their labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from visionlib.errors import DataError
from visionlib.inference.predictions import load_predictions
from visionlib.runs import Run


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """What networks say of images that they did not learn from; `score_test` and `cross_validate` make it.

    Attributes:
        split: name of the split that the images are of.
        source: how the probabilities came about, for people.
        index: what each image is called for good.
        labels: given, as positions in `classes`.
        probabilities: a row per image, which sums to 1.
        classes: class names.
        content_hash: of the split.
    Raises:
        DataError: if the parts do not fit together, or a probability is none.
    """

    split: str
    source: str
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    probabilities: Float64[Tensor, "n k"]
    classes: tuple[str, ...]
    content_hash: str

    def __post_init__(self) -> None:
        n, columns = self.probabilities.shape
        remedy = "make them with score_test or cross_validate, from the run's own data"
        if columns != len(self.classes):
            raise DataError("probabilities", f"have {columns} columns for {len(self.classes)} classes", remedy)
        if not n == len(self.labels) == len(self.index):
            raise DataError("probabilities", f"are of {n} images, and there are {len(self.labels)} labels", remedy)
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < columns:
            found = f"{int(self.labels.min())}..{int(self.labels.max())}"
            raise DataError("labels", f"are {found} for {columns} classes", remedy)
        is_whole = (self.probabilities >= 0).all() & ((self.probabilities.sum(1) - 1).abs() < 1e-4).all()
        if not bool(is_whole):
            raise DataError("probabilities", "hold a row that does not sum to 1", remedy)


def score_test(run: Run) -> OutOfSample:
    """Give what a run's network says of its test split, which it has not learned from.

    Raises:
        RunError: if the run is unfinished or damaged, or lacks its predictions.
    """
    stored = load_predictions(run)
    return OutOfSample(
        split="test",
        source=(
            f"{stored.record.model}, which did not learn from them; logits are the mean of the image's and its mirror's"
        ),
        index=stored.index,
        labels=stored.labels,
        probabilities=as_probabilities(stored.predictions.logits, stored.predictions.mirror_logits),
        classes=stored.record.classes,
        content_hash=stored.content_hash,
    )


def as_probabilities(logits: Float32[Tensor, "n k"], mirror_logits: Float32[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
    """Give the probabilities that the mean of both logits stands for."""
    return torch.softmax((logits.double() + mirror_logits.double()) / 2, dim=1)
