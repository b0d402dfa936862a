"""Which class is taken for which, and how often."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.evaluation.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were taken for another one.

    Attributes:
        true: the class that they are of.
        predicted: the class that they were taken for.
        count: how many there are.
        n: how many images of the true class there are.
    """

    true: str
    predicted: str
    count: int
    n: int

    @property
    def share(self) -> float:
        """How many of the true class's images they are, as a fraction."""
        return self.count / self.n

    @property
    def confidence_interval(self) -> Interval:
        """95 % Wilson interval of the share."""
        interval = wilson_interval(self.count, self.n)
        assert interval is not None
        return interval

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON."""
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
    """How many images of each class were taken for each class.

    Attributes:
        counts: a row for each true class, a column for each predicted one.
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
        """Give each row as shares of its class's images; None for a class without images."""
        rows = self.counts.tolist()
        return tuple(tuple(count / sum(row) for count in row) if any(row) else None for row in rows)

    def find_confused_pairs(self, most: int | None = None) -> tuple[ConfusedPair, ...]:
        """Give the pairs of classes that were confused, the most frequent ones first.

        Of equally frequent ones that of the smaller class comes first, since it is the larger share of it; then the
        order of the classes decides, of the true one before the predicted one.

        Args:
            most: how many pairs at most; None gives all.
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
    """Count which class was taken for which.

    Args:
        labels: true classes, as positions in `classes`.
        predicted: predicted classes, likewise.
        classes: all names, of classes without images too.
    """
    positions = np.arange(len(classes))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    if len(labels):
        from sklearn.metrics import confusion_matrix

        counts = confusion_matrix(labels.numpy(), predicted.numpy(), labels=positions).astype(np.int64)
    return ConfusionMatrix(torch.from_numpy(counts), classes)
