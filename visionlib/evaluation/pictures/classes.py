"""Recall and precision by class, with intervals."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from visionlib.data.class_names import embed_name
from visionlib.drawing.lettering import fit_text, set_plain, write_title
from visionlib.drawing.palette import CONTRAST, MAIN
from visionlib.evaluation.class_scores import ClassScore
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.intervals import Interval
from visionlib.evaluation.wording import percent

_MOST = 100
_RECALL = ("recall: fraction of the class that is predicted right", MAIN, "o")
_PRECISION = ("precision: fraction of the predictions of the class that are right", CONTRAST, "D")


def draw_class_scores(evaluation: Evaluation) -> Figure:
    """Draw recall and precision of each class with their intervals, in ascending order of recall.

    The number of images stands beside each name. Classes without images come last; at most 100 classes are drawn.
    """
    shown = _order_classes(evaluation)[:_MOST]
    k = len(shown)
    row_in = 0.34 if k <= 30 else 0.17
    figure = Figure(figsize=(7.5, 1.8 + row_in * k), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(k)
    _draw_series(axes, rows - 0.14, [(entry.accuracy, entry.confidence_interval) for entry in shown], _RECALL)
    _draw_series(axes, rows + 0.14, [(entry.precision, entry.precision_interval) for entry in shown], _PRECISION)
    if evaluation.accuracy is not None:
        axes.axvline(
            evaluation.accuracy, color="0.4", lw=1, ls=":", label=f"accuracy of all: {percent(evaluation.accuracy)}"
        )
    size = 8.5 if k <= 30 else 7.0
    labels = [f"{fit_text(embed_name(entry.name), 105, size)}  {entry.n:,}" for entry in shown]
    axes.set_yticks(rows, labels, fontsize=size)
    set_plain(axes.get_yticklabels())
    axes.set_ylim(k - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.tick_params(axis="x", labeltop=k > 30, labelsize=8.5)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_ylabel("class, n", fontsize=9)
    write_title(figure, _title(evaluation, k))
    if evaluation.n:
        figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8.5)
    else:
        axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", fontsize=9)
    return figure


def describe_class_scores(evaluation: Evaluation) -> str:
    """Describe the picture in words."""
    known = [entry for entry in _order_classes(evaluation) if entry.accuracy is not None]
    title = _title(evaluation, min(len(evaluation.per_class), _MOST))
    if not known:
        return title
    lowest, highest = (f"{embed_name(entry.name)} with {percent(entry.accuracy)}" for entry in (known[0], known[-1]))
    return f"{title} The lowest recall has {lowest}, the highest {highest}."


def _title(evaluation: Evaluation, shown: int) -> str:
    k = len(evaluation.per_class)
    which = f"the {shown} of {k:,} classes with the lowest recall" if shown < k else f"{k} classes, lowest recall first"
    return f"Recall and precision with 95 % intervals, {evaluation.n:,} images; {which}."


def _order_classes(evaluation: Evaluation) -> list[ClassScore]:
    return sorted(evaluation.per_class, key=lambda entry: 2.0 if entry.accuracy is None else entry.accuracy)


def _draw_series(
    axes: Axes,
    rows: np.ndarray,
    fractions: list[tuple[float | None, Interval | None]],
    style: tuple[str, str, str],
) -> None:
    label, colour, marker = style
    known = [
        (row, fraction, max(0.0, fraction - interval[0]), max(0.0, interval[1] - fraction))
        for row, (fraction, interval) in zip(rows, fractions, strict=True)
        if fraction is not None and interval is not None
    ]
    if known:
        heights, values, *bars = np.array(known).T
        axes.errorbar(
            values, heights, xerr=bars, color=colour, marker=marker, ms=4, lw=1.2, capsize=2, ls="none", label=label
        )
