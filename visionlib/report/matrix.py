"""The confusion matrix as cells that can be clicked, shaded by their fraction of the row."""

from dataclasses import dataclass

from visionlib.data.class_names import tidy_name
from visionlib.evaluation import ConfusionMatrix

MOST_CLASSES = 40
"""With more classes nobody can read a matrix: the page lists the most confused pairs instead."""
SHADES = 8


@dataclass(frozen=True)
class MatrixCell:
    """A cell.

    Attributes:
        true: row, as a position among the classes.
        predicted: column, likewise.
        count: number of images.
        fraction: of the row's images; None for a row without images.
        shade: 0 for an empty cell, up to 8 for the largest fraction of mistakes; -1 on the diagonal.
    """

    true: int
    predicted: int
    count: int
    fraction: float | None
    shade: int


def build_matrix(confusion: ConfusionMatrix) -> list[tuple[str, int, list[MatrixCell]]] | None:
    """Build a row per true class: its name, its number of images, its cells; None for too many classes.

    The diagonal has no shade: beside it all others would look alike.
    """
    if len(confusion.classes) > MOST_CLASSES:
        return None
    counts: list[list[int]] = confusion.counts.tolist()
    fractions = [row or (None,) * len(counts) for row in confusion.normalize_rows()]
    mistakes = [fraction or 0.0 for true, row in enumerate(fractions) for at, fraction in enumerate(row) if at != true]
    largest = max(mistakes, default=0.0)

    def build(true: int, predicted: int) -> MatrixCell:
        fraction = fractions[true][predicted]
        shade = -1 if true == predicted else _choose_shade(fraction or 0.0, largest)
        return MatrixCell(true, predicted, counts[true][predicted], fraction, shade)

    return [
        (tidy_name(name), sum(counts[true]), [build(true, predicted) for predicted in range(len(counts))])
        for true, name in enumerate(confusion.classes)
    ]


def _choose_shade(fraction: float, largest: float) -> int:
    return 0 if fraction <= 0 else max(1, -(-int(fraction / largest * 1000 * SHADES) // 1000))
