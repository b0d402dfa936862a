"""The content of `evaluation.json`, typed, and the checks that its numbers go together."""

from dataclasses import dataclass
from typing import Annotated

import torch

from visionlib.evaluation.calibration import Calibration, ReliabilityBin
from visionlib.evaluation.confusion import ConfusionMatrix
from visionlib.evaluation.coverage import CoveragePoint, RiskCoverage
from visionlib.evaluation.selective import SelectiveAveraging, Threshold
from visionlib.evaluation.temperature import TemperatureScaling
from visionlib.runs.fields import Count, FieldError, Key, Range, Unit

_Loss = Annotated[float, Range(0, 1e300)]
_Brier = Annotated[float, Range(0, 2.001)]
_Positive = Annotated[int, Range(1, 2**53)]
_Temperature = Annotated[float, Range(1e-12, 1e12)]


@dataclass(frozen=True)
class _Class:
    name: Annotated[str, Key("class")]


@dataclass(frozen=True)
class _Confusion:
    counts: tuple[tuple[Count, ...], ...]


@dataclass(frozen=True)
class _Calibration:
    reliability: tuple[ReliabilityBin, ...]
    brier_score: _Brier | None
    loss: _Loss | None = None

    def build(self, loss: float | None) -> Calibration:
        return Calibration(loss, self.brier_score, self.reliability)


@dataclass(frozen=True)
class _Scaling:
    value: _Temperature
    n: Count
    after: _Calibration


@dataclass(frozen=True)
class _Point:
    confidence: Unit
    n: _Positive
    wrong: Count

    def __post_init__(self) -> None:
        if self.wrong > self.n:
            raise FieldError("", f"has {self.wrong} wrong of {self.n}")


@dataclass(frozen=True)
class _Coverage:
    curve: tuple[_Point, ...]
    area: Unit | None
    best_area: Unit | None


@dataclass(frozen=True)
class _Selective:
    threshold: Unit
    threshold_n: Count
    threshold_source: str
    n: Count
    selected: Count
    correct: Count

    def build(self) -> SelectiveAveraging:
        threshold = Threshold(self.threshold, self.threshold_n, self.threshold_source)
        return SelectiveAveraging(threshold, self.n, self.selected, self.correct)


@dataclass(frozen=True)
class EvaluationRecord:
    """The fields of `evaluation.json` that the measures are made of again; the others follow from them.

    Raises:
        FieldError: if the numbers of images or classes differ from each other.
    """

    n: Count
    loss: _Loss | None
    per_class: tuple[_Class, ...]
    confusion: _Confusion
    calibration: _Calibration
    risk_coverage: _Coverage
    mirror_accuracy: Unit | None
    top5_accuracy: Unit | None
    temperature: _Scaling | None
    temperature_note: str
    selective: _Selective | None = None

    def __post_init__(self) -> None:
        k, counts = len(self.per_class), self.confusion.counts
        if len(counts) != k or any(len(row) != k for row in counts):
            raise FieldError("confusion.counts", f"has {len(counts)} rows, and must be square for {k} classes")
        totals = {
            "confusion.counts": sum(map(sum, counts)),
            "calibration.reliability": sum(entry.n for entry in self.calibration.reliability),
            **({} if self.selective is None else {"selective": self.selective.n}),
            **({} if self.temperature is None else {"temperature.after": self._count_scaled()}),
        }
        for place, total in totals.items():
            if total != self.n:
                raise FieldError(place, f"is of {total} images, and must be of {self.n}")
        scaled = () if self.temperature is None else self.temperature.after.reliability
        for entry in (*self.calibration.reliability, *scaled):
            if entry.correct > entry.n or (entry.mean_confidence is None) != (not entry.n):
                raise FieldError("reliability", f"has a bin with {entry.correct} of {entry.n} correct")
        if any(point.n > self.n for point in self.risk_coverage.curve):
            raise FieldError("risk_coverage.curve", f"is of more images than {self.n}")
        selective = self.selective
        if selective is not None and max(selective.selected, selective.correct) > selective.n:
            raise FieldError("selective", f"has more images than {selective.n}")

    def build_confusion(self) -> ConfusionMatrix:
        """Return the confusion matrix."""
        classes = tuple(entry.name for entry in self.per_class)
        counts = torch.tensor(self.confusion.counts, dtype=torch.int64).reshape(len(classes), len(classes))
        return ConfusionMatrix(counts, classes)

    def build_coverage(self) -> RiskCoverage:
        """Return risk over coverage."""
        coverage = self.risk_coverage
        points = tuple(CoveragePoint(point.confidence, point.n, point.wrong, self.n) for point in coverage.curve)
        return RiskCoverage(points, coverage.area, coverage.best_area)

    def build_calibration(self) -> Calibration:
        """Return the calibration."""
        return self.calibration.build(self.loss)

    def build_temperature(self) -> TemperatureScaling | None:
        """Return the calibration with a temperature; None where none was fitted."""
        scaling = self.temperature
        if scaling is None:
            return None
        after = scaling.after.build(scaling.after.loss)
        return TemperatureScaling(scaling.value, scaling.n, self.build_calibration(), after)

    def build_selective(self) -> SelectiveAveraging | None:
        """Return the accuracy with more views; None where it was not asked for."""
        return None if self.selective is None else self.selective.build()

    def count(self, accuracy: float | None) -> int | None:
        """Return the number of correct predictions of an accuracy; None for None."""
        return None if accuracy is None else round(accuracy * self.n)

    def _count_scaled(self) -> int:
        assert self.temperature is not None
        return sum(entry.n for entry in self.temperature.after.reliability)
