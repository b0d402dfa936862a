"""`Evaluation`: every measure of a network's predictions on a split, each with its n; and its record in a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from visionlib.errors import RunError
from visionlib.evaluation.calibration import Calibration
from visionlib.evaluation.class_scores import ClassScore, average_known
from visionlib.evaluation.confusion import ConfusionMatrix
from visionlib.evaluation.coverage import RiskCoverage
from visionlib.evaluation.evaluation_record import EvaluationRecord
from visionlib.evaluation.intervals import CONFIDENCE, Interval, as_list, mean_interval, wilson_interval
from visionlib.evaluation.selective import SelectiveAveraging
from visionlib.evaluation.temperature import TemperatureScaling
from visionlib.inference.predictions import load_predictions
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.fields import FieldError, parse_record
from visionlib.runs.results import load_result, save_result

_PAIRS = 20
_COMMAND = "visionlib test"
_REMEDY = f"make it again with `{_COMMAND}`"
DEFINITIONS = {
    "accuracy": "fraction of images whose largest logit is that of their class; of equal logits the first one counts",
    "confidence_interval": "95 % Wilson score interval of the fraction beside it, for images drawn at random",
    "loss": "cross-entropy in nats without label smoothing, the mean over images; it is the negative log-likelihood",
    "mirror_accuracy": "accuracy with the logits of each image and of its mirror image averaged; every other "
    "measure is of the image alone",
    "selective": "accuracy with the logits of six views averaged where the confidence of the image alone is at most "
    "the threshold: the image, it shifted by a pixel up left and down right, which count half, and their mirror images",
    "selective.threshold": "the lowest confidence that nine tenths of the wrong predictions on threshold_n held-out "
    "training images do not exceed; 0.9 without such images",
    "top5_accuracy": "fraction of images whose class is among the five largest logits; null for fewer than 6 classes",
    "balanced_accuracy": "mean of the accuracies of the classes that have images",
    "balanced_confidence_interval": "95 % interval of that mean: the Wilson intervals of the classes, as of "
    "independent binomials, combined by the MOVER method",
    "macro_f1": "mean of the F1 of the classes that have images",
    "per_class.accuracy": "recall: fraction of the class's images that are predicted as it; null without images",
    "per_class.recall": "the same number as accuracy, by its other name",
    "per_class.precision": "fraction of the images predicted as the class that belong to it; null if none is",
    "per_class.f1": "2 correct / (n + predicted), the harmonic mean of recall and precision; null without images",
    "confusion.counts": "a row for each true class, a column for each predicted class, in the order of per_class",
    "confusion.most_confused": "fraction of the true class's images; ordered by count, then fraction, then class",
    "calibration.ece": "expected calibration error: 15 bins of equal width by the probability of the predicted class, "
    "each above its lower and up to its upper edge, so that 1 is in the last; distance between accuracy and mean "
    "probability in a bin, averaged over the images",
    "calibration.brier_score": "squared differences between probabilities and truth, summed over the classes, the mean "
    "over images: from 0 to 2",
    "risk_coverage.curve": "error rate of the images of at least a confidence, the probability of the predicted class",
    "risk_coverage.area": "mean risk over the coverages 1/n to 1; best_area if wrong images had the lowest confidences",
    "temperature": "the divisor of the logits with the least loss on images held out of the training images; "
    "before and after are of the test images",
}
"""The definition of each measure, also written to `evaluation.json`."""


@dataclass(frozen=True)
class Evaluation:
    """The measures of a network's predictions on a split.

    Attributes:
        confusion: confusion matrix.
        calibration: calibration of the probabilities, and the loss.
        coverage: error rate if images of low confidence are left out.
        top5_correct: images whose class is among the five largest logits; None for fewer than six classes.
        mirror_correct: correct predictions with the logits of image and mirror image averaged; None if not measured.
        temperature: calibration with a temperature; None if none could be fitted.
        temperature_note: the reason for a missing temperature, and how to get one; empty if there is one.
        selective: accuracy with more views of the unsure images; None if not asked for.
    """

    confusion: ConfusionMatrix
    calibration: Calibration
    coverage: RiskCoverage
    top5_correct: int | None = None
    mirror_correct: int | None = None
    temperature: TemperatureScaling | None = None
    temperature_note: str = ""
    selective: SelectiveAveraging | None = None

    @cached_property
    def per_class(self) -> tuple[ClassScore, ...]:
        """One entry per class, in the order of the classes."""
        counts = self.confusion.counts
        columns = (counts.sum(1).tolist(), counts.diagonal().tolist(), counts.sum(0).tolist())
        return tuple(map(ClassScore, self.confusion.classes, *columns))

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(entry.n for entry in self.per_class)

    @property
    def correct(self) -> int:
        """Number of correct predictions."""
        return sum(entry.correct for entry in self.per_class)

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct predictions; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy; None for no images."""
        return wilson_interval(self.correct, self.n)

    @property
    def loss(self) -> float | None:
        """Cross-entropy in nats, without label smoothing, the mean over images; None for no images."""
        return self.calibration.loss

    @property
    def mirror_accuracy(self) -> float | None:
        """Accuracy with mirror averaging; None if not measured, or for no images."""
        return self._fraction(self.mirror_correct)

    @property
    def mirror_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy with mirror averaging; None if not measured, or for no images."""
        return None if self.mirror_correct is None else wilson_interval(self.mirror_correct, self.n)

    @property
    def top5_accuracy(self) -> float | None:
        """Fraction of images whose class is among the five largest logits; None where it is not measured."""
        return self._fraction(self.top5_correct)

    @property
    def top5_interval(self) -> Interval | None:
        """95 % Wilson interval of the top-5 accuracy; None where it is not measured."""
        return None if self.top5_correct is None else wilson_interval(self.top5_correct, self.n)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean accuracy of the classes that have images; None for no images."""
        return average_known(entry.accuracy for entry in self.per_class)

    @property
    def balanced_interval(self) -> Interval | None:
        """95 % interval of the balanced accuracy, by `mean_interval`; None for no images."""
        return mean_interval([(entry.correct, entry.n) for entry in self.per_class if entry.n])

    @property
    def is_balanced(self) -> bool:
        """Whether all classes that have images have equally many: accuracy and balanced accuracy are then equal."""
        return len({entry.n for entry in self.per_class if entry.n}) < 2

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 of the classes that have images; None for no images."""
        return average_known(entry.f1 for entry in self.per_class)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON; None where a measure is unknown."""
        pairs = self.confusion.find_confused_pairs(_PAIRS)
        return {
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.confidence_interval),
            "confidence": CONFIDENCE,
            "interval": "wilson",
            "n": self.n,
            "correct": self.correct,
            "loss": self.loss,
            "mirror_accuracy": self.mirror_accuracy,
            "mirror_confidence_interval": as_list(self.mirror_interval),
            "selective": None if self.selective is None else self.selective.to_dict(),
            "top5_accuracy": self.top5_accuracy,
            "top5_confidence_interval": as_list(self.top5_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "balanced_confidence_interval": as_list(self.balanced_interval),
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

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_dict` wrote.

        Raises:
            RunError: if a field is missing or has another type or value, or numbers contradict each other.
        """
        try:
            record = parse_record(EvaluationRecord, fields)
        except FieldError as error:
            raise RunError("evaluation.json", f"is damaged ({error})", _REMEDY) from error
        return cls(
            confusion=record.build_confusion(),
            calibration=record.build_calibration(),
            coverage=record.build_coverage(),
            top5_correct=record.count(record.top5_accuracy),
            mirror_correct=record.count(record.mirror_accuracy),
            temperature=record.build_temperature(),
            temperature_note=record.temperature_note,
            selective=record.build_selective(),
        )

    def save(self, run: Run) -> None:
        """Write `evaluation.json`, with the hashes of the weights and of the test images of the run's predictions.

        Raises:
            RunError: if the run's predictions are absent or damaged, or the run cannot be written to.
        """
        stored = load_predictions(run)
        hashes = {"content_hash": stored.content_hash, "weights_sha256": stored.record.weights_sha256}
        save_result(run.evaluation, {"split": "test", **hashes, **self.to_dict()})

    def _repr_html_(self) -> str:
        """Return the tables for a notebook."""
        from visionlib.evaluation.render_html import to_html

        return to_html(self)

    def _fraction(self, correct: int | None) -> float | None:
        return None if correct is None or not self.n else correct / self.n


def load_evaluation(run: Run) -> Evaluation:
    """Read a run's `evaluation.json`.

    Raises:
        RunError: if it is absent, damaged or of other weights.
    """
    return load_result(
        run.evaluation,
        {"weights_sha256": load_record(run).weights_sha256},
        lambda fields, _: Evaluation.from_dict(fields),
        remedy=_COMMAND,
        has_arrays=False,
    )
