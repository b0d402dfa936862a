"""Accuracy and confidence over the strength of corruption."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from visionlib.evaluation import StressResult
from visionlib.evaluation.wording import percent
from visionlib.report.charts.axes import Axes
from visionlib.report.charts.svg import element, line, picture, text

_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_KEY_PX = 22


def draw_stress(result: StressResult) -> Markup:
    """Draw the mean accuracy with its interval, the mean confidence, and the corruption with the lowest accuracy."""
    axes = Axes(60, 44, 340, 250, (0.0, 5.0), (0.0, 1.0))
    return picture(
        430, 344 + 3 * _KEY_PX, "Accuracy over strength of corruption", _draw(axes, result), class_="chart wide"
    )


def _draw(axes: Axes, result: StressResult) -> Iterator[Markup]:
    yield from axes.draw(
        range(6),
        _TICKS,
        x_title="strength of corruption",
        y_title="accuracy",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: percent(tick, 0),
    )
    worst = find_worst(result)
    of_worst = [result.clean, *(score for score in result.conditions if score.corruption == worst)]
    series = (
        ("series-a", f"accuracy, mean of {len(result.averaged)}", [score.accuracy for score in result.by_strength]),
        ("series-b", "mean confidence", [score.mean_confidence for score in result.by_strength]),
        ("series-c", f"accuracy, {worst.replace('_', ' ')}", [score.accuracy for score in of_worst]),
    )
    for row, (kind, label, values) in enumerate(series):
        yield from _draw_series(axes, kind, values)
        y = axes.top + axes.height + 60 + _KEY_PX * row
        yield line([(axes.left, y - 4), (axes.left + 26, y - 4)], kind)
        yield text(axes.left + 34, y, label)
    for score in result.by_strength:
        (x, high), (_, low) = (axes.locate(score.strength, limit) for limit in reversed(score.confidence_interval))
        yield element("line", class_="whisker", x1=x, x2=x, y1=low, y2=high)


def find_worst(result: StressResult) -> str:
    """Return the averaged corruption with the lowest mean accuracy, the first of equals."""
    totals = dict.fromkeys(result.averaged, 0.0)
    for score in result.conditions:
        if score.corruption in totals:
            totals[score.corruption] += score.accuracy
    return min(totals, key=lambda name: totals[name])


def _draw_series(axes: Axes, kind: str, values: Sequence[float]) -> Iterator[Markup]:
    points = [axes.locate(strength, value) for strength, value in enumerate(values)]
    yield line(points, kind)
    for x, y in points:
        yield element("circle", class_=f"{kind} mark", cx=x, cy=y, r=3)
