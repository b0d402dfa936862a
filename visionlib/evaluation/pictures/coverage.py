"""The risk-coverage curve: the error rate over the fraction of images answered, the most confident first."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from visionlib.drawing.lettering import write_title
from visionlib.drawing.palette import MAIN, NEUTRAL, REFERENCE
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.wording import percent

_MARKED = (0.5, 0.8, 1.0)
"""Coverages with labels, which are far enough apart not to overlap."""


def draw_risk_coverage(evaluation: Evaluation) -> Figure:
    """Draw risk over coverage with intervals, beside the best possible curve and that of a random order."""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.subplots()
    coverage = evaluation.coverage
    highest = 0.01
    if coverage.points and evaluation.accuracy is not None:
        coverages, risks, lows, highs = np.array(
            [(point.coverage, point.risk, *point.confidence_interval) for point in coverage.points]
        ).T
        axes.fill_between(coverages, lows, highs, color=MAIN, alpha=0.18, lw=0, label="95 % interval")
        axes.plot(
            coverages,
            risks,
            color=MAIN,
            lw=1.8,
            marker="o" if len(coverages) < 5 else "",
            label=f"most confident first: area {coverage.area:.4f}",
        )
        best = np.linspace(0.001, 1, 1000)
        label = f"best possible order: area {coverage.best_area:.4f}"
        axes.plot(best, np.maximum(best - evaluation.accuracy, 0) / best, color=REFERENCE, lw=1.2, ls="--", label=label)
        risk = 1 - evaluation.accuracy
        axes.axhline(risk, color=NEUTRAL, lw=1, ls=":", label=f"random order: {percent(risk)} at any coverage")
        for marked in _MARKED:
            point = coverage.at(marked)
            if point is not None and point.coverage < marked + 0.05:
                axes.plot([point.coverage], [point.risk], color=MAIN, marker="o", ms=5)
                label_text = axes.annotate(
                    f"{percent(point.risk)} at {percent(point.coverage, 0)}",
                    (point.coverage, point.risk),
                    xytext=(-6, 6),
                    textcoords="offset points",
                    ha="right",
                    fontsize=8.5,
                )
                label_text.set_path_effects([withStroke(linewidth=3, foreground="white")])  # readable over a line
        highest = max(risk, float(risks.max()), highest)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.02 * highest, 1.25 * highest)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("coverage: fraction of the images, the most confident first", fontsize=9)
    axes.set_ylabel("risk: error rate on these images", fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.grid(color="0.92")
    write_title(figure, _title(evaluation))
    if evaluation.n:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    else:
        axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", fontsize=9)
    return figure


def describe_risk_coverage(evaluation: Evaluation) -> str:
    """Describe the picture in words."""
    risks = [
        f"{percent(point.risk)} of the most confident {percent(point.coverage, 0)}"
        for point in map(evaluation.coverage.at, _MARKED)
        if point is not None
    ]
    return f"{_title(evaluation)} Error rate: {', '.join(dict.fromkeys(risks)) or 'unknown, as there are no images'}."


def _title(evaluation: Evaluation) -> str:
    return f"Risk over coverage: {evaluation.n:,} images sorted by confidence."
