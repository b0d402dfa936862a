"""A reliability diagram: accuracy over confidence."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from visionlib.drawing.lettering import write_title
from visionlib.drawing.palette import CONTRAST, MAIN
from visionlib.evaluation.calibration import Calibration, ReliabilityBin
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.wording import percent


def draw_reliability(evaluation: Evaluation) -> Figure:
    """Draw accuracy over confidence bin by bin with intervals, and below it the number of images in each bin."""
    figure = Figure(figsize=(7.5, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.5", lw=1, ls=":", label="perfect calibration")
    calibration, scaling = evaluation.calibration, evaluation.temperature
    if evaluation.n:
        _draw_curve(above, calibration, f"unscaled: calibration error {calibration.ece:.4f}", MAIN, "o", "-")
    if scaling is not None:
        label = f"divided by the temperature {scaling.temperature:.3f}: calibration error {scaling.after.ece:.4f}"
        _draw_curve(above, scaling.after, label, CONTRAST, "D", "--")
        edges = [entry.lowest for entry in scaling.after.bins] + [1.0]
        below.stairs([entry.n for entry in scaling.after.bins], edges, color=CONTRAST, lw=1.2, ls="--", zorder=3)
    _draw_counts(below, calibration, scaling.after.bins if scaling is not None else ())
    above.set_ylabel("accuracy in the bin, 95 % interval", fontsize=9)
    above.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    above.set_ylim(-0.02, 1.02)
    below.set_xlim(-0.01, 1.01)
    below.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    below.set_xlabel("confidence: probability of the predicted class", fontsize=9)
    for axes in (above, below):
        axes.tick_params(labelsize=8.5)
    above.grid(color="0.92")
    write_title(figure, _title(evaluation))
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8.5)
    return figure


def describe_reliability(evaluation: Evaluation) -> str:
    """Describe the picture in words."""
    confidence, accuracy = evaluation.calibration.mean_confidence, evaluation.accuracy
    if confidence is None or accuracy is None:
        return f"{_title(evaluation)} There are no images."
    bias = "over" if confidence > accuracy else "under"
    means = f"Mean confidence is {percent(confidence)} and accuracy {percent(accuracy)}: it is {bias}confident"
    scaling = evaluation.temperature
    after = (
        "" if scaling is None else f"; a temperature of {scaling.temperature:.3f} brings it to {scaling.after.ece:.4f}"
    )
    return f"{_title(evaluation)} {means}. The calibration error is {evaluation.calibration.ece:.4f}{after}."


def _title(evaluation: Evaluation) -> str:
    bins = len(evaluation.calibration.bins)
    return f"Reliability diagram: {evaluation.n:,} images in {bins} bins of equal width."


def _draw_curve(axes: Axes, calibration: Calibration, label: str, colour: str, marker: str, line: str) -> None:
    points = [
        (entry.mean_confidence, entry.accuracy, entry.accuracy - interval[0], interval[1] - entry.accuracy)
        for entry in calibration.bins
        if entry.accuracy is not None and (interval := entry.confidence_interval) is not None
    ]
    confidences, accuracies, below, above = np.array(points).T
    bars = np.maximum(np.stack([below, above]), 0)
    axes.errorbar(
        confidences, accuracies, bars, color=colour, marker=marker, ms=4.5, lw=1.2, ls=line, capsize=2.5, label=label
    )


def _draw_counts(axes: Axes, calibration: Calibration, others: tuple[ReliabilityBin, ...]) -> None:
    for entry in calibration.bins:
        width = entry.highest - entry.lowest
        axes.bar(entry.lowest, entry.n, width, align="edge", color=MAIN, edgecolor="white", lw=0.8)
        if entry.n:
            position = ((entry.lowest + entry.highest) / 2, entry.n)
            count = axes.annotate(
                f"{entry.n:,}", position, xytext=(0, 1.5), textcoords="offset points", ha="center", fontsize=7, zorder=4
            )
            count.set_path_effects([withStroke(linewidth=2.5, foreground="white")])  # readable over the dashed line
    axes.set_ylabel("images", fontsize=9)
    axes.set_ylim(0, 1.25 * max(1, *(entry.n for entry in [*calibration.bins, *others])))
