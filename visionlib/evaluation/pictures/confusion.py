"""The confusion matrix, coloured by mistakes alone, so that the many right predictions do not hide them."""

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.lettering import fit_text, set_plain, write_title
from visionlib.drawing.palette import SEQUENTIAL_COLORMAP
from visionlib.evaluation.evaluation import Evaluation

_COUNTED = 20
"""Largest number of classes with every count written out."""
_MOST = 100
"""Largest number of classes in a picture."""
_RIGHT, _NO_IMAGES = "#e3e3e3", "#f7f7f7"
_FADED = 0.3
"""Fraction of the colour scale that fades to white, so that one mistake does not look like a hundred."""


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Draw the fraction of each true class that is predicted as each other class.

    The diagonal, the right predictions, is grey and outside the colour scale. Up to 20 classes every count is written
    out. Of more than 100 classes the 100 most often confused are drawn.
    """
    shown = _choose_classes(evaluation.confusion.counts)
    counts = evaluation.confusion.counts[shown][:, shown].numpy()
    k = len(shown)
    totals = evaluation.confusion.counts.sum(1)[shown].numpy()
    side = min(max(3.6, 1.5 + 0.5 * k), 5.8) if k <= _COUNTED else 9.2
    letters = 8.0 if k <= _COUNTED else max(5.0, min(8.0, 560 / k))
    figure = Figure(figsize=(side + 1.7, side + (1.2 if k <= _COUNTED else 0.8)), layout="constrained")
    axes = figure.subplots()
    fractions = counts / np.maximum(totals, 1)[:, None]
    np.fill_diagonal(fractions, 0)
    highest = float(np.nanmax(fractions, initial=0.0)) or 1.0
    axes.set_facecolor("white")
    axes.imshow(_paint_frame(totals), interpolation="nearest")
    colours = axes.imshow(
        np.where(fractions > 0, fractions, np.nan), cmap=_mix_colours(), vmin=0, vmax=highest, interpolation="nearest"
    )
    if k <= _COUNTED:
        _write_counts(axes, counts, fractions / highest)
    _name_axes(axes, [evaluation.confusion.classes[label] for label in shown.tolist()], letters)
    bar = figure.colorbar(colours, ax=axes, shrink=0.6, pad=0.02, format=PercentFormatter(1.0, symbol=" %"))
    bar.set_label("fraction of the true class predicted as another", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    write_title(figure, _title(evaluation, k), margin=36 if k <= _COUNTED else 65)
    return figure


def describe_confusion(evaluation: Evaluation) -> str:
    """Describe the picture in words."""
    pairs = evaluation.confusion.find_confused_pairs(3)
    confused = "; ".join(
        f"{embed_name(pair.true)} for {embed_name(pair.predicted)}, {pair.count:,} of {pair.n:,}" for pair in pairs
    )
    title = _title(evaluation, min(len(evaluation.confusion.classes), _MOST))
    return f"{title} Most often confused: {confused or 'none'}."


def _title(evaluation: Evaluation, shown: int) -> str:
    k = len(evaluation.confusion.classes)
    which = f"the {shown} of {k:,} classes most often confused" if shown < k else f"{k} classes"
    return (
        f"Confusion matrix: {evaluation.n - evaluation.correct:,} of {evaluation.n:,} images are wrong; "
        f"{which}. A row is a true class, a column a predicted one; grey: right."
    )


def _choose_classes(counts: Int64[Tensor, "k k"]) -> Int64[Tensor, "s"]:
    """Choose the classes with most confusions, in either direction, in the order of the classes."""
    mistakes = counts - torch.diag(counts.diagonal())
    order = (mistakes.sum(0) + mistakes.sum(1)).argsort(descending=True, stable=True)
    return order[:_MOST].sort().values


def _mix_colours() -> ListedColormap:
    """Colours that darken evenly from white to navy."""
    colours = mpl.colormaps[SEQUENTIAL_COLORMAP](np.linspace(1, 0, 256))
    strength = np.minimum(np.linspace(0.2, 1 / _FADED, 256), 1)[:, None]
    return ListedColormap(strength * colours + (1 - strength))


def _paint_frame(totals: Int64[np.ndarray, "s"]) -> Float64[np.ndarray, "s s 3"]:
    """Paint the background: grey on the diagonal, pale rows for classes without images."""
    frame: Float64[np.ndarray, "s s 3"] = np.ones((len(totals), len(totals), 3))
    frame[totals == 0] = mpl.colors.to_rgb(_NO_IMAGES)
    frame[np.diag_indices(len(totals))] = mpl.colors.to_rgb(_RIGHT)
    return frame


def _write_counts(axes: Axes, counts: Int64[np.ndarray, "s s"], strengths: Float64[np.ndarray, "s s"]) -> None:
    size = 8.5 if len(counts) <= 12 else 6.5
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if strengths[row, column] > 0.55 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=size, color=colour)


def _name_axes(axes: Axes, names: list[str], size: float) -> None:
    labels = [fit_text(embed_name(name), 90, size) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), labels, fontsize=size)
    set_plain([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    if len(names) <= _COUNTED:
        lines = np.arange(len(names) + 1) - 0.5
        axes.set_xticks(lines, minor=True)
        axes.set_yticks(lines, minor=True)
        axes.grid(which="minor", color="0.9", lw=0.6)
        axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color("0.7")
