"""What a network's predictions are worth class by class: recall, precision and F1, out of three counts."""

import math
from dataclasses import dataclass
from typing import Any

from visionlib.evaluation.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class ClassScore:
    """How often images of one class are recognised, and how often its name is rightly given.

    Attributes:
        name: the class.
        n: how many images of it there are.
        correct: how many of them were recognised.
        predicted: how many images were taken for it, rightly or not.
    """

    name: str
    n: int
    correct: int
    predicted: int

    @property
    def accuracy(self) -> float | None:
        """Recall: share of the class's images that are recognised; None for a class without images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the recall; None for a class without images."""
        return wilson_interval(self.correct, self.n)

    @property
    def precision(self) -> float | None:
        """Share of what is taken for the class that is of it; None if nothing is taken for it."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def precision_interval(self) -> Interval | None:
        """95 % Wilson interval of the precision; None if nothing is taken for the class."""
        return wilson_interval(self.correct, self.predicted)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of recall and precision, 0 for a class never rightly named; None for one without images."""
        return 2 * self.correct / (self.n + self.predicted) if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON."""
        return {
            "class": self.name,
            "accuracy": self.accuracy,
            "confidence_interval": self.confidence_interval and list(self.confidence_interval),
            "n": self.n,
            "correct": self.correct,
            "predicted": self.predicted,
            "recall": self.accuracy,
            "precision": self.precision,
            "precision_interval": self.precision_interval and list(self.precision_interval),
            "f1": self.f1,
        }


def average_accuracy(scores: tuple[ClassScore, ...]) -> float | None:
    """Balanced accuracy: the mean of the recalls of those classes that have images; None if none has."""
    return _mean([score.accuracy for score in scores])


def average_f1(scores: tuple[ClassScore, ...]) -> float | None:
    """Macro F1: the mean of the F1 of those classes that have images; None if none has."""
    return _mean([score.f1 for score in scores])


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return math.fsum(known) / len(known) if known else None
