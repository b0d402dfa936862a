"""The confusion matrix, and the pairs of classes that are confused most."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.evaluation.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class ConfusedPair:
    """The images of one class that are predicted as another.

    Attributes:
        true: their class.
        predicted: the other class.
        count: number of these images.
        n: number of images of the true class.
    """

    true: str
    predicted: str
    count: int
    n: int

    @property
    def share(self) -> float:
        """Fraction of the true class's images."""
        return self.count / self.n

    @property
    def confidence_interval(self) -> Interval:
        """95 % Wilson interval of `share`."""
        interval = wilson_interval(self.count, self.n)
        assert interval is not None
        return interval

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "class": self.true,
            "predicted": self.predicted,
            "count": self.count,
            "n": self.n,
            "share": self.share,
            "confidence_interval": list(self.confidence_interval),
        }


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """The number of images for each pair of true and predicted class.

    Attributes:
        counts: a row for each true class, a column for each predicted class.
        classes: their names, in the order of rows and columns.
    """

    counts: Int64[Tensor, "k k"]
    classes: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ConfusionMatrix)
            and self.classes == other.classes
            and torch.equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.classes, tuple(self.counts.diagonal().tolist())))

    def normalize_rows(self) -> tuple[tuple[float, ...] | None, ...]:
        """Return each row as fractions of its class's images; None for a class without images."""
        rows = self.counts.tolist()
        return tuple(tuple(count / sum(row) for count in row) if any(row) else None for row in rows)

    def find_confused_pairs(self, most: int | None = None) -> tuple[ConfusedPair, ...]:
        """Return the confused pairs of classes, the most frequent first.

        Ties: the larger fraction, that is the smaller true class, comes first; then the order of the true classes
        decides, then that of the predicted ones.

        Args:
            most: maximum number of pairs; None returns all.
        """
        mistakes = self.counts - torch.diag(self.counts.diagonal())
        totals = self.counts.sum(1).tolist()
        cells = [(true, predicted, int(mistakes[true, predicted])) for true, predicted in mistakes.nonzero().tolist()]
        cells.sort(key=lambda cell: (-cell[2], totals[cell[0]], cell[0], cell[1]))
        return tuple(
            ConfusedPair(self.classes[true], self.classes[predicted], count, totals[true])
            for true, predicted, count in cells[:most]
        )


def count_confusions(
    labels: Int64[Tensor, "n"], predicted: Int64[Tensor, "n"], classes: tuple[str, ...]
) -> ConfusionMatrix:
    """Count the images for each pair of true and predicted class, both given as positions in `classes`."""
    k = len(classes)
    return ConfusionMatrix(torch.bincount(k * labels + predicted, minlength=k * k).view(k, k), classes)
