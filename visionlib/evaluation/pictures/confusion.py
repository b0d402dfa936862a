"""A picture of which class is taken for which, in which the many right images do not hide the few wrong ones."""

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from visionlib.drawing.class_names import embed_name
from visionlib.drawing.lettering import fit_text, font_families, wrap_text
from visionlib.evaluation.evaluation import Evaluation

_COUNTED = 20
"""Classes up to which every count is written out."""
_MOST = 100
"""Classes that can be told apart in one picture."""
_RIGHT = "#e3e3e3"
_NO_IMAGES = "#f7f7f7"
_FADED = 0.3
"""Share of the colours that come out of white, so that one mistake does not look like a hundred."""


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Draw how many images of each class are taken for each other class, as shares of the true class.

    The diagonal, the images that are right, is grey and has no part in the colours. Up to 20 classes every count is
    written out. Of more than 100 classes those are drawn that are most often part of a confusion.
    """
    shown = _choose_classes(evaluation.confusion.counts)
    counts = evaluation.confusion.counts[shown][:, shown].numpy()
    k = len(shown)
    totals = evaluation.confusion.counts.sum(1)[shown].numpy()
    side = min(max(3.6, 1.5 + 0.5 * k), 5.8) if k <= _COUNTED else 9.2
    letters = 8.0 if k <= _COUNTED else max(5.0, min(8.0, 560 / k))
    figure = Figure(figsize=(side + 1.7, side + (1.2 if k <= _COUNTED else 0.8)), layout="constrained")
    axes = figure.subplots()
    shares = _share_mistakes(counts, totals)
    highest = float(np.nanmax(shares, initial=0.0)) or 1.0
    axes.set_facecolor("white")
    axes.imshow(_paint_frame(totals), interpolation="nearest")
    colours = axes.imshow(
        np.where(shares > 0, shares, np.nan), cmap=_mix_colours(), vmin=0, vmax=highest, interpolation="nearest"
    )
    if k <= _COUNTED:
        _write_counts(axes, counts, shares / highest)
    _name_axes(axes, [evaluation.confusion.classes[place] for place in shown.tolist()], letters)
    bar = figure.colorbar(colours, ax=axes, shrink=0.6, pad=0.02, format=PercentFormatter(1.0))
    bar.set_label("share of the true class that is taken for another one", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    title = wrap_text(_tell_title(evaluation, k), (side + (1.2 if k <= _COUNTED else 0.8)) * 72, 9)
    figure.suptitle(title, fontsize=9, parse_math=False)
    return figure


def describe_confusion(evaluation: Evaluation) -> str:
    """Say in a sentence what the picture shows."""
    pairs = evaluation.confusion.find_confused_pairs(3)
    told = "; ".join(
        f"{embed_name(pair.true)} for {embed_name(pair.predicted)}, {pair.count:,} of {pair.n:,}" for pair in pairs
    )
    return (
        f"{_tell_title(evaluation, min(len(evaluation.confusion.classes), _MOST))} Most often taken: {told or 'none'}."
    )


def _tell_title(evaluation: Evaluation, shown: int) -> str:
    k = len(evaluation.confusion.classes)
    which = f"the {shown} of {k:,} classes most often confused" if shown < k else f"{k} classes"
    return (
        f"Which class is taken for which: {evaluation.n - evaluation.correct:,} of {evaluation.n:,} images are wrong; "
        f"{which}. A row is a true class, a column what it is taken for; grey: right."
    )


def _choose_classes(counts: Int64[Tensor, "k k"]) -> Int64[Tensor, "s"]:
    """Choose the classes that have most images confused with another one, either way, in the order of the classes."""
    mistakes = counts - torch.diag(counts.diagonal())
    order = (mistakes.sum(0) + mistakes.sum(1)).argsort(descending=True, stable=True)
    return order[:_MOST].sort().values


def _share_mistakes(counts: Int64[np.ndarray, "s s"], totals: Int64[np.ndarray, "s"]) -> Float64[np.ndarray, "s s"]:
    shares: Float64[np.ndarray, "s s"] = counts / np.maximum(totals, 1)[:, None]
    np.fill_diagonal(shares, 0)
    return shares


def _mix_colours() -> ListedColormap:
    """Give colours that darken evenly from white to navy, the same for eyes that do not tell red from green."""
    colours = mpl.colormaps["cividis"](np.linspace(1, 0, 256))
    strength = np.minimum(np.linspace(0.2, 1 / _FADED, 256), 1)[:, None]
    return ListedColormap(strength * colours + (1 - strength))


def _paint_frame(totals: Int64[np.ndarray, "s"]) -> Float64[np.ndarray, "s s 3"]:
    """Paint what lies below the colours: grey on the diagonal, pale rows for classes without images."""
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
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set(parse_math=False, family=list(font_families()))
    axes.tick_params(length=0)
    axes.set_xlabel("taken for", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    if len(names) <= _COUNTED:
        lines = np.arange(len(names) + 1) - 0.5
        axes.set_xticks(lines, minor=True)
        axes.set_yticks(lines, minor=True)
        axes.grid(which="minor", color="0.9", lw=0.6)
        axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color("0.7")
