"""A picture of what is gained by leaving out the images that a network is least sure of."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from visionlib.drawing.lettering import wrap_text
from visionlib.evaluation.evaluation import Evaluation

_BLUE, _GREEN, _GREY = "#0072B2", "#009E73", "#555555"
"""Of Okabe and Ito's colours; lines differ as well."""
_MARKED = (0.5, 0.8, 1.0)
"""So far apart that what is written there does not overlap."""
_WIDTH_IN = 7.5


def draw_risk_coverage(evaluation: Evaluation) -> Figure:
    """Draw the share that is wrong over the share that is answered, the surest images first, with intervals."""
    figure = Figure(figsize=(_WIDTH_IN, 4.8), layout="constrained")
    axes = figure.subplots()
    coverage = evaluation.coverage
    highest = 0.01
    if coverage.points and evaluation.accuracy is not None:
        shares, risks, lows, highs = np.array(
            [(point.coverage, point.risk, *point.confidence_interval) for point in coverage.points]
        ).T
        axes.fill_between(shares, lows, highs, color=_BLUE, alpha=0.18, lw=0, label="95 % interval")
        axes.plot(
            shares,
            risks,
            color=_BLUE,
            lw=1.8,
            marker="o" if len(shares) < 5 else "",
            label=f"surest first: area {coverage.area:.4f}",
        )
        best = np.linspace(0.001, 1, 1000)
        label = f"if the wrong ones were the least sure: area {coverage.best_area:.4f}"
        axes.plot(best, np.maximum(best - evaluation.accuracy, 0) / best, color=_GREEN, lw=1.2, ls="--", label=label)
        risk = 1 - evaluation.accuracy
        axes.axhline(risk, color=_GREY, lw=1, ls=":", label=f"in an order by chance: {risk:.1%} at any coverage")
        for wanted in _MARKED:
            point = coverage.at(wanted)
            if point is not None and point.coverage < wanted + 0.05:
                axes.plot([point.coverage], [point.risk], color=_BLUE, marker="o", ms=5)
                told = axes.annotate(
                    f"{point.risk:.1%} at {point.coverage:.0%}",
                    (point.coverage, point.risk),
                    xytext=(-6, 6),
                    textcoords="offset points",
                    ha="right",
                    fontsize=8.5,
                )
                told.set_path_effects([withStroke(linewidth=3, foreground="white")])  # to be read over a line
        highest = max(risk, float(risks.max()), highest)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.02 * highest, 1.25 * highest)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("coverage: share of the images that is answered, the surest first", fontsize=9)
    axes.set_ylabel("risk: share of these that is wrong", fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.grid(color="0.92")
    figure.suptitle(wrap_text(_tell_title(evaluation), _WIDTH_IN * 72 - 20, 9), fontsize=9, parse_math=False)
    if evaluation.n:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    else:
        axes.text(0.5, 0.5, "no images", transform=axes.transAxes, ha="center", fontsize=9)
    return figure


def describe_risk_coverage(evaluation: Evaluation) -> str:
    """Say in a sentence what the picture shows."""
    told = [
        f"{point.risk:.1%} of the surest {point.coverage:.0%}"
        for point in map(evaluation.coverage.at, _MARKED)
        if point is not None
    ]
    return f"{_tell_title(evaluation)} Wrong are {', '.join(dict.fromkeys(told)) or 'none, as there are no images'}."


def _tell_title(evaluation: Evaluation) -> str:
    return f"What is wrong if only the surest images are answered: {evaluation.n:,} images by their confidence."
