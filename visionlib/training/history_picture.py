"""The history of a training as curves over its epochs."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest

from visionlib.drawing.figure_file import encode_figure
from visionlib.drawing.palette import CONTRAST, MAIN, REFERENCE
from visionlib.errors import RunError
from visionlib.runs import Run, read_history, write_bytes

_CURVES = (
    ("training_accuracy", "training: augmented images, mean over the epoch", MAIN, "o"),
    ("validation_accuracy", "held out of the training images", REFERENCE, "s"),
)
_NARROW = 0.07
"""Least fraction of the width at which a stretch of epochs has room for its resolution as text."""


def save_history_picture(run: Run) -> None:
    """Draw the history of a finished run, with the 95 % Wilson interval of its test accuracy, and keep it in the run.

    Raises:
        RunError: if the history is absent or damaged, or no epoch is finished.
    """
    history, interval = read_history(run), None
    last = history[-1] if history else None
    if last and last.test_n and last.test_accuracy is not None:
        interval = binomtest(round(last.test_accuracy * last.test_n), last.test_n).proportion_ci(method="wilson")
    figure = draw_history([asdict(record) for record in history], interval=interval, title=run.path.name)
    write_bytes(run.history_picture, encode_figure(figure, run.history_picture.suffix))


def draw_history(
    history: Sequence[Mapping[str, Any]],
    *,
    interval: tuple[float, float] | None = None,
    epochs: int | None = None,
    title: str = "",
) -> Figure:
    """Draw accuracy and loss over the epochs.

    The last test accuracy is written out, with its n; the resolution stands above its epochs.

    Args:
        history: the lines of `history.jsonl`; of an unfinished run, the finished epochs.
        interval: 95 % interval of the last test accuracy, where known.
        epochs: planned number of epochs; unfinished ones are left blank.
        title: above the curves.
    Raises:
        RunError: if no epoch is finished.
    """
    if not history:
        raise RunError("history", "no epoch is finished", "draw it later")
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for field, label, colour, marker in _CURVES:
        _draw_curve(above, history, field, label, colour, marker)
    _draw_test(above, history, interval)
    above.yaxis.set_major_formatter(PercentFormatter(1.0))
    above.set_ylabel("accuracy")
    _draw_curve(below, history, "loss", "", MAIN, "o")
    below.set_ylabel("training loss, nats")
    below.set_xlabel("epoch")
    last = max(epochs or 0, history[-1]["epoch"])
    below.set_xlim(0.5, last + 0.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (above, below):
        axes.grid(color="0.92")
    _mark_resolutions(above, below, history, last)
    missing = last - history[-1]["epoch"]
    titles = [title] if title else []
    if missing:
        titles.append(f"not finished: {history[-1]['epoch']} of {last} epochs")
        for axes in (above, below):
            axes.axvspan(history[-1]["epoch"] + 0.5, last + 0.5, color="0.96", lw=0)
    if titles:
        figure.suptitle(" \N{EN DASH} ".join(titles), fontsize=10)
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=9)
    return figure


def _draw_curve(
    axes: Axes, history: Sequence[Mapping[str, Any]], field: str, label: str, colour: str, marker: str
) -> None:
    points = [(record["epoch"], record[field]) for record in history if record.get(field) is not None]
    if points:
        size = 5 if len(points) <= 40 else 0
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, ms=size, lw=1.6, label=label)


def _draw_test(axes: Axes, history: Sequence[Mapping[str, Any]], interval: tuple[float, float] | None) -> None:
    tested = [record for record in history if record.get("test_accuracy") is not None]
    if not tested:
        return
    last = tested[-1]
    epoch, accuracy = last["epoch"], last["test_accuracy"]
    label = f"test: {accuracy:.2%} of {last['test_n']:,} images after epoch {epoch}"
    epochs, accuracies = zip(*((record["epoch"], record["test_accuracy"]) for record in tested), strict=True)
    axes.plot(
        epochs, accuracies, color=CONTRAST, marker="D", ms=4 if len(tested) <= 40 else 0, lw=1.2, ls="--", zorder=3
    )
    bars = None
    if interval is not None:
        low, high = interval
        label += f", 95 % interval {low:.1%} to {high:.1%}"
        bars = [[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]]
    axes.errorbar(
        [epoch], [accuracy], bars, color=CONTRAST, marker="D", ms=6, capsize=4, ls="none", label=label, zorder=3
    )


def _mark_resolutions(above: Axes, below: Axes, history: Sequence[Mapping[str, Any]], last: int) -> None:
    """Draw a line where the resolution changes, and write it above each part that is wide enough."""
    parts = list(_parts(history))
    for first, end, side_px in parts:
        if first > 1:
            for axes in (above, below):
                axes.axvline(first - 0.5, color="0.5", lw=1, ls=":")
        if (end - first + 1) / last >= _NARROW:
            middle = (first + end) / 2
            transform = above.get_xaxis_transform()
            above.text(middle, 1.02, f"{side_px} px", transform=transform, ha="center", fontsize=9, color="0.3")


def _parts(history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """Yield first epoch, last epoch and side of each stretch of epochs at one resolution."""
    for side_px, records in itertools.groupby(history, key=lambda record: record["resolution_px"]):
        epochs = [record["epoch"] for record in records]
        yield epochs[0], epochs[-1], side_px
