"""Calibration of a network's probabilities: log-likelihood, Brier score, calibration error, reliability curve.

Source: Guo et al. 2017, arXiv:1706.04599; Brier 1950, Monthly Weather Review 78.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.evaluation.intervals import Interval, as_list, wilson_interval
from visionlib.runs.fields import Count, Unit

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """The images with a confidence in ]`lowest`, `highest`].

    Attributes:
        lowest: lower edge, excluded.
        highest: upper edge, included: a confidence of exactly 1 is in the last bin.
        n: number of images.
        correct: number of correct predictions.
        mean_confidence: mean probability of the predicted class; None for no images.
    """

    lowest: Unit
    highest: Unit
    n: Count
    correct: Count
    mean_confidence: Unit | None

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct predictions; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy; None for no images."""
        return wilson_interval(self.correct, self.n)

    @property
    def gap(self) -> float | None:
        """Mean confidence minus accuracy: above 0 for an overconfident network; None for no images."""
        return None if self.mean_confidence is None else self.mean_confidence - self.correct / self.n

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            **asdict(self),
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.confidence_interval),
        }


@dataclass(frozen=True)
class Calibration:
    """Measures of a network's probabilities.

    Attributes:
        loss: cross-entropy in nats, the mean over images: the negative log-likelihood; None for no images.
        brier_score: mean over images of the squared differences between probabilities and truth, summed over the
            classes: 0 if certain and correct, 2 if certain and wrong; None for no images.
        bins: fifteen of equal width, from 0 to 1, by the probability of the predicted class.
    """

    loss: float | None
    brier_score: float | None
    bins: tuple[ReliabilityBin, ...]

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(entry.n for entry in self.bins)

    @property
    def mean_confidence(self) -> float | None:
        """Mean probability of the predicted class; None for no images."""
        return self._average([entry.mean_confidence for entry in self.bins])

    @property
    def ece(self) -> float | None:
        """Expected calibration error: distance of accuracy and mean confidence in a bin, averaged over images."""
        return self._average([None if entry.gap is None else abs(entry.gap) for entry in self.bins])

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON, without the loss, which `Evaluation` has."""
        return {
            "ece": self.ece,
            "brier_score": self.brier_score,
            "mean_confidence": self.mean_confidence,
            "bins": len(self.bins),
            "reliability": [entry.to_dict() for entry in self.bins],
        }

    def _average(self, values: list[float | None]) -> float | None:
        weighted = [value * entry.n for value, entry in zip(values, self.bins, strict=True) if value is not None]
        return math.fsum(weighted) / self.n if self.n else None


def find_confidences(logits: Float64[Tensor, "n k"]) -> Float64[Tensor, "n"]:
    """Return the probability of each image's predicted class."""
    return logits.log_softmax(1).amax(1).exp()


def measure_calibration(logits: Float64[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> Calibration:
    """Measure the calibration of the softmax of logits.

    Sums are exact, so the order of the images does not matter.
    """
    log_probabilities = logits.log_softmax(1)
    columns = labels[:, None]
    losses = -log_probabilities.gather(1, columns)[:, 0]
    errors = log_probabilities.exp_().scatter_add_(1, columns, torch.full(columns.shape, -1.0, dtype=torch.float64))
    return Calibration(
        loss=_mean(losses),
        brier_score=_mean(errors.square_().sum(1)),
        bins=fill_bins(find_confidences(logits).numpy(), (logits.argmax(1) == labels).numpy()),
    )


def fill_bins(confidences: Float64[np.ndarray, "n"], is_correct: Bool[np.ndarray, "n"]) -> tuple[ReliabilityBin, ...]:
    """Count the images in each of the fifteen bins of confidence."""
    edges = np.linspace(0, 1, BINS + 1)
    numbers = np.searchsorted(edges[1:], confidences)
    bins = []
    for number in range(BINS):
        is_inside = numbers == number
        n = int(is_inside.sum())
        mean = math.fsum(confidences[is_inside].tolist()) / n if n else None
        correct = int(is_correct[is_inside].sum())
        bins.append(ReliabilityBin(float(edges[number]), float(edges[number + 1]), n, correct, mean))
    return tuple(bins)


def _mean(values: Float64[Tensor, "n"]) -> float | None:
    return math.fsum(values.tolist()) / len(values) if len(values) else None
