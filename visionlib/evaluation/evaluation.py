"""`Evaluation`: accuracy overall and per class with intervals, out of logits and labels, and nothing hidden."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from visionlib.errors import RunError
from visionlib.evaluation.intervals import CONFIDENCE, wilson_interval

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassAccuracy:
    """How often images of one class are recognised.

    Attributes:
        name: the class.
        n: how many images of it there are.
        correct: how many of them were recognised.
    """

    name: str
    n: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Share recognised; None for a class without images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the share; None for a class without images."""
        return wilson_interval(self.correct, self.n)


@dataclass(frozen=True)
class Evaluation:
    """What a network's predictions are worth on a split.

    Attributes:
        n: images scored.
        correct: how many were right.
        loss: cross-entropy in nats, without label smoothing, as the mean over images; None for no images.
        per_class: one entry per class, in the order of the classes.
        mirror_correct: how many are right with the logits of image and mirror image averaged; None if not asked.
    """

    n: int
    correct: int
    loss: float | None
    per_class: tuple[ClassAccuracy, ...]
    mirror_correct: int | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of all images that are right; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy; None for no images."""
        return wilson_interval(self.correct, self.n)

    @property
    def mirror_accuracy(self) -> float | None:
        """Accuracy with mirror averaging; None if not asked, or for no images."""
        return None if self.mirror_correct is None or not self.n else self.mirror_correct / self.n

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON: accuracies as fractions, None where nothing is known."""
        return {
            "accuracy": self.accuracy,
            "confidence_interval": _as_list(self.confidence_interval),
            "confidence": CONFIDENCE,
            "interval": "wilson",
            "n": self.n,
            "correct": self.correct,
            "loss": self.loss,
            "mirror_accuracy": self.mirror_accuracy,
            "per_class": [
                {
                    "class": entry.name,
                    "accuracy": entry.accuracy,
                    "confidence_interval": _as_list(entry.confidence_interval),
                    "n": entry.n,
                    "correct": entry.correct,
                }
                for entry in self.per_class
            ],
        }


def score_logits(
    logits: Float32[Tensor, "n k"],
    labels: Int64[Tensor, "n"],
    classes: tuple[str, ...],
    *,
    mirror_logits: Float32[Tensor, "n k"] | None = None,
) -> Evaluation:
    """Score predictions against labels.

    Args:
        logits: one row per image; the largest is the prediction, the first of equals.
        labels: positions in `classes`.
        classes: as many names as logits have columns; those without images are told as such.
        mirror_logits: of the mirrored images, to score the average of both as well.
    Raises:
        RunError: if the classes do not fit the logits or the labels, or a logit is not a number.
    """
    if logits.shape[1] != len(classes):
        raise RunError(
            "logits", f"have {logits.shape[1]} columns for {len(classes)} classes", "score with the run's own data"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise RunError(
            "labels",
            f"are {int(labels.min())}..{int(labels.max())} for {len(classes)} classes",
            "score with the run's own data",
        )
    if not bool(logits.isfinite().all()):
        raise RunError("logits", "hold values that are not numbers", "the network is broken; train it again")
    is_right = logits.argmax(1) == labels
    totals = torch.bincount(labels, minlength=len(classes)).tolist()
    rights = torch.bincount(labels[is_right], minlength=len(classes)).tolist()
    mirror_correct = None
    if mirror_logits is not None:
        mirror_correct = int(((logits + mirror_logits).argmax(1) == labels).sum())
    # In float64, so that the mean does not depend on how the sum was cut.
    losses = F.cross_entropy(logits.double(), labels, reduction="none")
    return Evaluation(
        n=len(labels),
        correct=int(is_right.sum()),
        loss=losses.mean().item() if len(labels) else None,
        per_class=tuple(
            ClassAccuracy(name, n, correct) for name, n, correct in zip(classes, totals, rights, strict=True)
        ),
        mirror_correct=mirror_correct,
    )


def _as_list(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
