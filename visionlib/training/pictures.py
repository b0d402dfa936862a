"""Pictures of a training: the range test that looks for its rate, and its history epoch by epoch."""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from visionlib.errors import RunError
from visionlib.training.rate_finder import RateFinding

_BLUE, _GREEN, _RED = "#0072B2", "#009E73", "#D55E00"
"""Of Okabe and Ito's colours, which eyes that do not tell red from green tell apart; markers differ as well."""
_CURVES = (
    ("training_accuracy", "training: images as they were shown, mean over the epoch", _BLUE, "o"),
    ("validation_accuracy", "held out of the training images", _GREEN, "s"),
)
_NARROW = 0.07
"""Share of the width below which a stretch of epochs is too narrow for its resolution in writing."""
_HEADROOM = 0.1


def draw_rate_finding(finding: RateFinding) -> Figure:
    """Draw the loss over the rate, raw and smoothed, with the suggestion."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    rates, smoothed = np.array(finding.rates), np.array(finding.smoothed)
    axes.plot(rates, finding.losses, color="0.6", lw=0.8, label="loss of each batch")
    axes.plot(rates, smoothed, color=_BLUE, lw=2, label="smoothed")
    axes.axvline(finding.suggestion, color=_RED, lw=1.5, ls="--", label=f"suggestion: {finding.suggestion:.2g}")
    axes.set_xscale("log")
    # Raw losses that have run away would flatten all that comes before them; smoothed ones are cut off.
    low, high = float(smoothed.min()), float(smoothed.max())
    margin = _HEADROOM * max(high - low, 0.05 * high, 1e-6)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss, nats")
    axes.set_title("\n".join(textwrap.wrap(f"{finding.suggestion:.2g} is {finding.rule}", 95)), loc="left", fontsize=9)
    axes.grid(color="0.92")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


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
        history: the lines of `history.jsonl`; of a run that is not finished, as many as there are.
        interval: 95 % interval of the last test accuracy, where it is known.
        epochs: that the run is to have in all; those that are missing are left free.
        title: what stands above it.
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
    _draw_curve(below, history, "loss", "", _BLUE, "o")
    below.set_ylabel("training loss, nats")
    below.set_xlabel("epoch")
    last = max(epochs or 0, history[-1]["epoch"])
    below.set_xlim(0.5, last + 0.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (above, below):
        axes.grid(color="0.92")
    _mark_resolutions(above, below, history, last)
    missing = last - history[-1]["epoch"]
    told = [title] if title else []
    if missing:
        told.append(f"not finished: {history[-1]['epoch']} of {last} epochs")
        for axes in (above, below):
            axes.axvspan(history[-1]["epoch"] + 0.5, last + 0.5, color="0.96", lw=0)
    if told:
        figure.suptitle(" \N{EN DASH} ".join(told), fontsize=10)
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
    epoch, share = last["epoch"], last["test_accuracy"]
    label = f"test: {share:.2%} of {last['test_n']:,} images after epoch {epoch}"
    epochs, shares = zip(*((record["epoch"], record["test_accuracy"]) for record in tested), strict=True)
    axes.plot(epochs, shares, color=_RED, marker="D", ms=4 if len(tested) <= 40 else 0, lw=1.2, ls="--", zorder=3)
    bars = None
    if interval is not None:
        low, high = interval
        label += f", 95 % interval {low:.1%} to {high:.1%}"
        bars = [[max(0.0, share - low)], [max(0.0, high - share)]]
    axes.errorbar([epoch], [share], bars, color=_RED, marker="D", ms=6, capsize=4, ls="none", label=label, zorder=3)


def _mark_resolutions(above: Axes, below: Axes, history: Sequence[Mapping[str, Any]], last: int) -> None:
    """Part the epochs where the resolution changes, and write it above each part that is wide enough."""
    parts = list(_parts(history))
    for first, end, side_px in parts:
        if first > 1:
            for axes in (above, below):
                axes.axvline(first - 0.5, color="0.5", lw=1, ls=":")
        if (end - first + 1) / last >= _NARROW:
            middle = (first + end) / 2
            place = above.get_xaxis_transform()
            above.text(middle, 1.02, f"{side_px} px", transform=place, ha="center", fontsize=9, color="0.3")


def _parts(history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """Give first epoch, last epoch and side of each stretch of epochs at one resolution."""
    for side_px, records in itertools.groupby(history, key=lambda record: record["resolution_px"]):
        epochs = [record["epoch"] for record in records]
        yield epochs[0], epochs[-1], side_px
