"""`Evaluation`: what a network's predictions are worth on a split, each figure with its n, and nothing hidden."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from visionlib.evaluation.calibration import Calibration
from visionlib.evaluation.class_scores import ClassScore, average_accuracy, average_f1
from visionlib.evaluation.confusion import ConfusionMatrix
from visionlib.evaluation.coverage import RiskCoverage
from visionlib.evaluation.definitions import DEFINITIONS
from visionlib.evaluation.intervals import CONFIDENCE, Interval, wilson_interval
from visionlib.evaluation.temperature import TemperatureScaling

_PAIRS = 20


@dataclass(frozen=True)
class Evaluation:
    """What a network's predictions are worth on a split.

    Attributes:
        confusion: which class was taken for which.
        calibration: whether it is right as often as it says; the loss is in it.
        coverage: what could be gained by leaving out images that it is not sure of.
        top5_correct: images whose class is among the five likeliest; None for fewer than six classes.
        mirror_correct: how many are right with the logits of image and mirror image averaged; None if not asked.
        temperature: what one number makes of the probabilities; None if it could not be fitted.
        temperature_note: why there is none, and how to get it; empty if there is one.
    """

    confusion: ConfusionMatrix
    calibration: Calibration
    coverage: RiskCoverage
    top5_correct: int | None = None
    mirror_correct: int | None = None
    temperature: TemperatureScaling | None = None
    temperature_note: str = ""

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """One entry per class, in the order of the classes."""
        counts = self.confusion.counts
        columns = (counts.sum(1).tolist(), counts.diagonal().tolist(), counts.sum(0).tolist())
        return tuple(map(ClassScore, self.confusion.classes, *columns))

    @property
    def n(self) -> int:
        """Images scored."""
        return sum(entry.n for entry in self.per_class)

    @property
    def correct(self) -> int:
        """How many were right."""
        return sum(entry.correct for entry in self.per_class)

    @property
    def accuracy(self) -> float | None:
        """Share of all images that are right; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy; None for no images."""
        return wilson_interval(self.correct, self.n)

    @property
    def loss(self) -> float | None:
        """Cross-entropy in nats, without label smoothing, as the mean over images; None for no images."""
        return self.calibration.loss

    @property
    def mirror_accuracy(self) -> float | None:
        """Accuracy with mirror averaging; None if not asked, or for no images."""
        return self._share(self.mirror_correct)

    @property
    def mirror_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy with mirror averaging; None if not asked, or for no images."""
        return None if self.mirror_correct is None else wilson_interval(self.mirror_correct, self.n)

    @property
    def top5_accuracy(self) -> float | None:
        """Share of images whose class is among the five likeliest; None for fewer than six classes or no images."""
        return self._share(self.top5_correct)

    @property
    def top5_interval(self) -> Interval | None:
        """95 % Wilson interval of the top-5 accuracy; None where there is none."""
        return None if self.top5_correct is None else wilson_interval(self.top5_correct, self.n)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the accuracies of the classes that have images; None for no images."""
        return average_accuracy(self.per_class)

    @property
    def macro_f1(self) -> float | None:
        """Mean of the F1 of the classes that have images; None for no images."""
        return average_f1(self.per_class)

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON: shares as fractions, None where nothing is known."""
        pairs = self.confusion.find_confused_pairs(_PAIRS)
        return {
            "accuracy": self.accuracy,
            "confidence_interval": _as_list(self.confidence_interval),
            "confidence": CONFIDENCE,
            "interval": "wilson",
            "n": self.n,
            "correct": self.correct,
            "loss": self.loss,
            "mirror_accuracy": self.mirror_accuracy,
            "mirror_confidence_interval": _as_list(self.mirror_interval),
            "top5_accuracy": self.top5_accuracy,
            "top5_confidence_interval": _as_list(self.top5_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "per_class": [entry.to_dict() for entry in self.per_class],
            "confusion": {
                "counts": self.confusion.counts.tolist(),
                "most_confused": [pair.to_dict() for pair in pairs],
            },
            "calibration": self.calibration.to_dict(),
            "risk_coverage": self.coverage.to_dict(),
            "temperature": None if self.temperature is None else self.temperature.to_dict(),
            "temperature_note": self.temperature_note,
            "definitions": dict(DEFINITIONS),
        }

    def _repr_html_(self) -> str:
        """Show the tables in a notebook."""
        from visionlib.evaluation.render_html import to_html

        return to_html(self)

    def _share(self, correct: int | None) -> float | None:
        return None if correct is None or not self.n else correct / self.n


def _as_list(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
