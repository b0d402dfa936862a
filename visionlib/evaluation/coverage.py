"""Risk over coverage: the error rate if the network only answers on images of high confidence.

Source: Geifman and El-Yaniv 2017, arXiv:1705.08500; the area: Geifman et al. 2018, arXiv:1805.08206.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor

from visionlib.evaluation.intervals import Interval, wilson_interval

_POINTS = 100


@dataclass(frozen=True)
class CoveragePoint:
    """The images of at least a given confidence: the answered ones.

    Attributes:
        confidence: lowest probability of the predicted class that is answered.
        n: number of answered images.
        wrong: number of wrong answers.
        total: number of all images.
    """

    confidence: float
    n: int
    wrong: int
    total: int

    @property
    def coverage(self) -> float:
        """Fraction of all images that are answered."""
        return self.n / self.total

    @property
    def risk(self) -> float:
        """Fraction of the answers that are wrong."""
        return self.wrong / self.n

    @property
    def confidence_interval(self) -> Interval:
        """95 % Wilson interval of the risk."""
        interval = wilson_interval(self.wrong, self.n)
        assert interval is not None
        return interval

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "coverage": self.coverage,
            "risk": self.risk,
            "confidence_interval": list(self.confidence_interval),
            "confidence": self.confidence,
            "n": self.n,
            "wrong": self.wrong,
        }


@dataclass(frozen=True)
class RiskCoverage:
    """The risk as a function of the coverage.

    Attributes:
        points: at most a hundred, in order of coverage: the first at or above each whole percent. Images of equal
            confidence are answered all or not at all.
        area: mean risk over the coverages 1/n, 2/n ... 1; among images of equal confidence the wrong ones count as
            evenly spread. None for no images.
        best_area: the smallest area possible: wrong images have the lowest confidences.
    """

    points: tuple[CoveragePoint, ...]
    area: float | None
    best_area: float | None

    def at(self, coverage: float) -> CoveragePoint | None:
        """Return the first point of at least this coverage; None for no images."""
        return next((point for point in self.points if point.coverage >= coverage), None)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "area": self.area,
            "best_area": self.best_area,
            "curve": [point.to_dict() for point in self.points],
        }


def measure_risk_coverage(confidences: Float64[Tensor, "n"], is_correct: Bool[Tensor, "n"]) -> RiskCoverage:
    """Measure risk over coverage.

    Args:
        confidences: probability of the predicted class, per image.
        is_correct: whether the prediction is correct, per image.
    """
    total = len(confidences)
    if not total:
        return RiskCoverage((), None, None)
    values, counts = np.unique(-confidences.numpy(), return_counts=True)
    order = np.argsort(-confidences.numpy(), kind="stable")
    ends = counts.cumsum()
    wrong = (~is_correct.numpy()[order]).cumsum()[ends - 1]
    # The first group of equal confidence that ends at or after each percent of coverage.
    groups = np.unique(np.searchsorted(ends, np.ceil(np.arange(1, _POINTS + 1) * total / _POINTS)))
    return RiskCoverage(
        points=tuple(CoveragePoint(float(-values[g]), int(ends[g]), int(wrong[g]), total) for g in groups),
        area=_area(np.interp(np.arange(1, total + 1), [0, *ends], [0, *wrong])),
        best_area=_area(np.maximum(np.arange(1, total + 1) - int(is_correct.sum()), 0)),
    )


def _area(wrong: np.ndarray) -> float:
    """Average the risk over all coverages, from the number of wrong images among the first 1, 2 ... n."""
    return math.fsum((wrong / np.arange(1, len(wrong) + 1)).tolist()) / len(wrong)
