"""The confusion matrix as cells that can be clicked, shaded by the share of their row."""

from dataclasses import dataclass
from typing import Any

from visionlib.data.class_names import tidy_name

MOST_CLASSES = 40
"""Beyond it a matrix is no table that anyone reads: the most confused pairs stand in its place."""
SHADES = 8


@dataclass(frozen=True)
class MatrixCell:
    """A cell.

    Attributes:
        true: row, as a position among the classes.
        predicted: column, likewise.
        count: images.
        share: of the row's images; None for a row without images.
        shade: 0 for an empty cell, up to 8 for the largest share of mistakes; -1 on the diagonal.
    """

    true: int
    predicted: int
    count: int
    share: float | None
    shade: int


def build_matrix(evaluation: dict[str, Any]) -> list[tuple[str, int, list[MatrixCell]]] | None:
    """Give a row for each true class: its name, its images, its cells; None for too many classes.

    The diagonal is left unshaded, since next to it nothing else could be told apart.
    """
    counts: list[list[int]] = evaluation["confusion"]["counts"]
    if len(counts) > MOST_CLASSES:
        return None
    totals = [sum(row) for row in counts]
    shares = [[count / n if n else None for count in row] for row, n in zip(counts, totals, strict=True)]
    off = [share for true, row in enumerate(shares) for at, share in enumerate(row) if at != true and share]
    largest = max(off, default=0.0)

    def build(true: int, predicted: int) -> MatrixCell:
        share, count = shares[true][predicted], counts[true][predicted]
        shade = -1 if true == predicted else _shade(share or 0.0, largest)
        return MatrixCell(true, predicted, count, share, shade)

    names = [tidy_name(entry["class"]) for entry in evaluation["per_class"]]
    return [
        (name, totals[true], [build(true, predicted) for predicted in range(len(counts))])
        for true, name in enumerate(names)
    ]


def _shade(share: float, largest: float) -> int:
    return 0 if share <= 0 else max(1, -(-int(share / largest * 1000 * SHADES) // 1000))
