"""Recall, precision and F1 of a class."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from visionlib.evaluation.intervals import Interval, as_list, wilson_interval


@dataclass(frozen=True)
class ClassScore:
    """The counts of one class, and the scores that follow from them.

    Attributes:
        name: of the class.
        n: number of its images.
        correct: number of its images that are predicted as it.
        predicted: number of all images that are predicted as it.
    """

    name: str
    n: int
    correct: int
    predicted: int

    @property
    def accuracy(self) -> float | None:
        """Recall: fraction of the class's images that are predicted as it; None for a class without images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the recall; None for a class without images."""
        return wilson_interval(self.correct, self.n)

    @property
    def precision(self) -> float | None:
        """Fraction of the images predicted as the class that belong to it; None if there are none."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def precision_interval(self) -> Interval | None:
        """95 % Wilson interval of the precision; None if none is predicted as the class."""
        return wilson_interval(self.correct, self.predicted)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of recall and precision, 0 without correct predictions; None for a class without images."""
        return 2 * self.correct / (self.n + self.predicted) if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "class": self.name,
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.confidence_interval),
            "n": self.n,
            "correct": self.correct,
            "predicted": self.predicted,
            "recall": self.accuracy,
            "precision": self.precision,
            "precision_interval": as_list(self.precision_interval),
            "f1": self.f1,
        }


def average_known(scores: Iterable[float | None]) -> float | None:
    """Average the scores of the classes that have images; None if none has."""
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known else None
