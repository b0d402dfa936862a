"""Accuracy over the strength of corruption: a panel for each kind, and one of accuracy beside confidence."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from visionlib.data.corruption import KINDS, STRENGTHS
from visionlib.drawing.lettering import write_title
from visionlib.drawing.palette import CONTRAST, MAIN, NEUTRAL, REFERENCE, TRUE_CLASS
from visionlib.evaluation.intervals import Interval
from visionlib.evaluation.stress.cells import describe_means
from visionlib.evaluation.stress.result import StressResult
from visionlib.evaluation.wording import percent

_STYLES = ((MAIN, "o", "-"), (CONTRAST, "s", "--"), (TRUE_CLASS, "^", "-."), (REFERENCE, "D", ":"), (NEUTRAL, "v", "-"))
_COLUMNS = 3


def draw_stress(result: StressResult) -> Figure:
    """Draw accuracy with its interval over strength, for each corruption and for the mean with the confidence."""
    kinds = [kind for kind in KINDS if any(score.kind == kind for score in result.conditions)]
    rows = -(-(len(kinds) + 1) // _COLUMNS)
    figure = Figure(figsize=(10.5, 0.6 + 3.1 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, kind in zip(grid, kinds, strict=False):
        _draw_kind(axes, result, kind)
    _draw_mean(grid[len(kinds)], result)
    for axes in grid[len(kinds) + 1 :]:
        axes.set_axis_off()
    for number, axes in enumerate(grid[: len(kinds) + 1]):
        axes.set_ylim(0, 1.02)
        axes.set_xticks((0, *STRENGTHS))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.tick_params(labelsize=8.5)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.legend(fontsize=7.5, frameon=False, loc="lower left")
        if number + _COLUMNS > len(kinds):
            axes.set_xlabel("strength", fontsize=9)
            axes.tick_params(labelbottom=True)
    write_title(figure, _title(result))
    return figure


def describe_stress(result: StressResult) -> str:
    """Describe the picture in words."""
    last = result.by_strength[-1]
    at_most = f"At strength {last.strength} the mean is {percent(last.accuracy)} and the confidence"
    return f"{_title(result)} {at_most} {percent(last.mean_confidence)}."


def _title(result: StressResult) -> str:
    return f"Accuracy over strength of corruption, {result.n:,} images: {describe_means(result)}."


def _draw_kind(axes: Axes, result: StressResult, kind: str) -> None:
    axes.set_title(kind, fontsize=9)
    names = dict.fromkeys(score.corruption for score in result.conditions if score.kind == kind)
    for name, style in zip(names, _STYLES, strict=False):
        scores = [result.clean, *(score for score in result.conditions if score.corruption == name)]
        points = [(score.accuracy, score.confidence_interval or (0.0, 1.0)) for score in scores]
        _draw_line(axes, points, name.replace("_", " "), style)


def _draw_mean(axes: Axes, result: StressResult) -> None:
    axes.set_title(f"mean of {len(result.averaged)}", fontsize=9)
    _draw_line(
        axes, [(score.accuracy, score.confidence_interval) for score in result.by_strength], "accuracy", _STYLES[0]
    )
    confidences = [score.mean_confidence for score in result.by_strength]
    axes.plot((0, *STRENGTHS), confidences, color=NEUTRAL, marker="x", ms=4.5, lw=1.3, ls="--", label="mean confidence")


def _draw_line(axes: Axes, points: list[tuple[float, Interval]], label: str, style: tuple[str, str, str]) -> None:
    colour, marker, line = style
    strengths, (lows, highs) = (0, *STRENGTHS), zip(*(bounds for _, bounds in points), strict=True)
    axes.fill_between(strengths, lows, highs, color=colour, alpha=0.12, lw=0)
    accuracies = [accuracy for accuracy, _ in points]
    axes.plot(strengths, accuracies, color=colour, marker=marker, ms=4, lw=1.3, ls=line, label=label)
