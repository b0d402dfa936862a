"""A picture of recall and precision class by class, with intervals."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from visionlib.drawing.class_names import embed_name
from visionlib.drawing.lettering import fit_text, font_families, wrap_text
from visionlib.evaluation.class_scores import ClassScore
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.intervals import Interval

_BLUE, _RED = "#0072B2", "#D55E00"
"""Of Okabe and Ito's colours; markers differ as well."""
_MOST = 100
_WIDTH_IN = 7.5


def draw_class_scores(evaluation: Evaluation) -> Figure:
    """Draw recall and precision of each class with their intervals, the class with the lowest recall first.

    Beside each name stands how many images there are of it. Classes without images stand at the end; of more than 100
    classes the first 100 are drawn.
    """
    shown = _order_classes(evaluation)[:_MOST]
    k = len(shown)
    row_in = 0.34 if k <= 30 else 0.17
    figure = Figure(figsize=(_WIDTH_IN, 1.8 + row_in * k), layout="constrained")
    axes = figure.subplots()
    places = np.arange(k)
    _draw_series(axes, places - 0.14, [(entry.accuracy, entry.confidence_interval) for entry in shown], _RECALL)
    _draw_series(axes, places + 0.14, [(entry.precision, entry.precision_interval) for entry in shown], _PRECISION)
    if evaluation.accuracy is not None:
        axes.axvline(
            evaluation.accuracy, color="0.4", lw=1, ls=":", label=f"accuracy of all: {evaluation.accuracy:.1%}"
        )
    size = 8.5 if k <= 30 else 7.0
    labels = [f"{fit_text(embed_name(entry.name), 105, size)}  {entry.n:,}" for entry in shown]
    axes.set_yticks(places, labels, fontsize=size)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, family=list(font_families()))
    axes.set_ylim(k - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(axis="x", labeltop=k > 30, labelsize=8.5)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_ylabel("class, n", fontsize=9)
    figure.suptitle(wrap_text(_tell_title(evaluation, k), _WIDTH_IN * 72 - 20, 9), fontsize=9, parse_math=False)
    if evaluation.n:
        figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8.5)
    else:
        axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", fontsize=9)
    return figure


def describe_class_scores(evaluation: Evaluation) -> str:
    """Say in a sentence what the picture shows."""
    known = [entry for entry in _order_classes(evaluation) if entry.accuracy is not None]
    told = _tell_title(evaluation, min(len(evaluation.per_class), _MOST))
    if not known:
        return told
    lowest, highest = (f"{embed_name(entry.name)} with {entry.accuracy:.1%}" for entry in (known[0], known[-1]))
    return f"{told} The lowest recall has {lowest}, the highest {highest}."


_RECALL = ("recall: share of the class that is recognised", _BLUE, "o")
_PRECISION = ("precision: share of what is taken for the class that is of it", _RED, "D")


def _tell_title(evaluation: Evaluation, shown: int) -> str:
    k = len(evaluation.per_class)
    which = f"the {shown} of {k:,} classes with the lowest recall" if shown < k else f"{k} classes, lowest recall first"
    return f"Recall and precision with 95 % intervals, {evaluation.n:,} images; {which}."


def _order_classes(evaluation: Evaluation) -> list[ClassScore]:
    return sorted(evaluation.per_class, key=lambda entry: 2.0 if entry.accuracy is None else entry.accuracy)


def _draw_series(
    axes: Axes,
    places: np.ndarray,
    shares: list[tuple[float | None, Interval | None]],
    style: tuple[str, str, str],
) -> None:
    label, colour, marker = style
    known = [
        (place, share, max(0.0, share - interval[0]), max(0.0, interval[1] - share))
        for place, (share, interval) in zip(places, shares, strict=True)
        if share is not None and interval is not None
    ]
    if not known:
        return
    heights, values, below, above = (np.array(column) for column in zip(*known, strict=True))
    bars = np.stack([below, above])
    axes.errorbar(
        values, heights, xerr=bars, color=colour, marker=marker, ms=4, lw=1.2, capsize=2, ls="none", label=label
    )
