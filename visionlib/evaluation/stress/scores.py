"""The measures of a network under one corruption, at one strength, and of one class."""

from dataclasses import dataclass
from typing import Annotated, Any

from visionlib.evaluation.intervals import Interval, as_list, wilson_interval
from visionlib.runs.fields import Count, FieldError, Key, Range, Unit

Positive = Annotated[int, Range(1, 2**53)]
_Strength = Annotated[int, Range(0, 5)]
_Difference = Annotated[float, Range(-1, 1)]
Bounds = tuple[Unit, Unit]


@dataclass(frozen=True)
class ConditionScore:
    """A network's predictions of images that one corruption changed at one strength.

    Attributes:
        corruption: its name; `none` for the images as they are.
        kind: its group; `none` likewise.
        strength: 1 to 5; 0 for the images as they are.
        n: number of images.
        correct: correct predictions.
        mean_confidence: mean probability of the predicted class.
        ece: expected calibration error in 15 bins.
    """

    corruption: str
    kind: str
    strength: _Strength
    n: Positive
    correct: Count
    mean_confidence: Unit
    ece: Unit

    def __post_init__(self) -> None:
        if self.correct > self.n:
            raise FieldError("correct", f"is {self.correct} of {self.n}")

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return self.correct / self.n

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.n)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "corruption": self.corruption,
            "kind": self.kind,
            "strength": self.strength,
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.confidence_interval),
            "n": self.n,
            "correct": self.correct,
            "mean_confidence": self.mean_confidence,
            "ece": self.ece,
        }


@dataclass(frozen=True)
class StrengthScore:
    """The averages over several corruptions at one strength.

    Attributes:
        strength: 1 to 5; 0 for the images as they are.
        accuracy: mean of the accuracies.
        confidence_interval: 95 % interval of that mean, with the same images in each condition.
        mean_confidence: mean probability of the predicted class.
        ece: expected calibration error of all predictions together.
    """

    strength: _Strength
    accuracy: Unit
    confidence_interval: Bounds
    mean_confidence: Unit
    ece: Unit

    @property
    def gap(self) -> float:
        """Mean confidence minus accuracy: above 0 for an overconfident network."""
        return self.mean_confidence - self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "strength": self.strength,
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.confidence_interval),
            "mean_confidence": self.mean_confidence,
            "gap": self.gap,
            "ece": self.ece,
        }


@dataclass(frozen=True)
class ClassFall:
    """The loss of accuracy of one class.

    Attributes:
        name: of the class.
        n: number of its images.
        clean_accuracy: fraction of them that is predicted as it without corruption.
        accuracies: the mean over the corruptions, at strength 1 to 5.
        drop: clean accuracy minus the mean of `accuracies`.
        drop_interval: 95 % interval of the drop.
        worst_corruption: the one with the lowest accuracy, the mean over its strengths.
        worst_accuracy: that accuracy.
    """

    name: Annotated[str, Key("class")]
    n: Positive
    clean_accuracy: Unit
    accuracies: tuple[Unit, ...]
    drop: _Difference
    drop_interval: tuple[_Difference, _Difference]
    worst_corruption: str
    worst_accuracy: Unit

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "class": self.name,
            "n": self.n,
            "clean_accuracy": self.clean_accuracy,
            "accuracies": list(self.accuracies),
            "drop": self.drop,
            "drop_interval": as_list(self.drop_interval),
            "worst_corruption": self.worst_corruption,
            "worst_accuracy": self.worst_accuracy,
        }
