"""Accuracy and loss of each epoch, as two charts to stand beside each other."""

from collections.abc import Iterator, Sequence
from typing import Literal

from markupsafe import Markup

from visionlib.evaluation.wording import percent
from visionlib.report.charts.axes import Axes, integer_ticks, round_ticks
from visionlib.report.charts.svg import element, line, picture, text
from visionlib.runs.training_records import EpochRecord

_Accuracy = Literal["training_accuracy", "validation_accuracy", "test_accuracy"]
_CURVES: tuple[tuple[_Accuracy, str, str], ...] = (
    ("training_accuracy", "augmented training images", "series-a"),
    ("validation_accuracy", "held out of the training images", "series-b"),
    ("test_accuracy", "test images", "series-c"),
)
_WIDTH = 580
_LEFT, _TOP, _PLOT_HEIGHT = 72, 50, 216
_KEY_PX = 24
"""Height of a line of the legend, which begins below the title of the epochs."""


def draw_accuracy(history: Sequence[EpochRecord]) -> Markup:
    """Draw the accuracy of each epoch, with the training resolution above.

    Args:
        history: the lines of `history.jsonl`, at least one.
    """
    lowest = min((accuracy for name, *_ in _CURVES for _, accuracy in _select_points(history, name)), default=0.0)
    axes = _make_axes(history, (max(0.0, lowest - 0.05), 1.0))
    curves = [(points, label, kind) for name, label, kind in _CURVES if (points := _select_points(history, name))]
    title = f"Accuracy over {history[-1].epoch} epochs"
    return picture(_WIDTH, _find_height(len(curves)), title, _draw_accuracy(axes, history, curves), class_="chart wide")


def draw_loss(history: Sequence[EpochRecord]) -> Markup:
    """Draw the training loss of each epoch."""
    losses = [record.loss for record in history]
    axes = _make_axes(history, (min(0.0, *losses), max(losses) * 1.05 or 1.0))
    title = f"Training loss over {history[-1].epoch} epochs"
    return picture(_WIDTH, _find_height(1), title, _draw_loss(axes, history), class_="chart wide")


def _make_axes(history: Sequence[EpochRecord], y: tuple[float, float]) -> Axes:
    return Axes(_LEFT, _TOP, _WIDTH - _LEFT - 12, _PLOT_HEIGHT, (0.5, history[-1].epoch + 0.5), y)


def _find_height(keys: int) -> float:
    return _TOP + _PLOT_HEIGHT + 44 + _KEY_PX * keys


def _draw_accuracy(
    axes: Axes, history: Sequence[EpochRecord], curves: Sequence[tuple[list[tuple[float, float]], str, str]]
) -> Iterator[Markup]:
    yield from _draw_resolutions(axes, history)
    yield from axes.draw(
        integer_ticks(1, history[-1].epoch),
        round_ticks(*axes.y),
        x_title="epoch",
        y_title="accuracy",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: percent(tick, 0),
    )
    for row, (points, label, kind) in enumerate(curves):
        yield from _draw_curve(axes, points, kind)
        yield from _draw_key(axes, row, label, kind)


def _select_points(history: Sequence[EpochRecord], name: _Accuracy) -> list[tuple[float, float]]:
    return [(record.epoch, value) for record in history if (value := getattr(record, name)) is not None]


def _draw_loss(axes: Axes, history: Sequence[EpochRecord]) -> Iterator[Markup]:
    yield from axes.draw(
        integer_ticks(1, history[-1].epoch),
        round_ticks(*axes.y),
        x_title="epoch",
        y_title="training loss, nats",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: f"{tick:g}",
    )
    yield from _draw_curve(axes, [(record.epoch, record.loss) for record in history], "series-a")
    yield from _draw_key(axes, 0, "augmented training images", "series-a")


def _draw_key(axes: Axes, row: int, label: str, kind: str) -> Iterator[Markup]:
    y = axes.top + axes.height + 62 + _KEY_PX * row
    yield from _mark(axes.left + 6, y - 5, kind)
    yield text(axes.left + 20, y, label)


def _draw_curve(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> Iterator[Markup]:
    located = [axes.locate(*point) for point in points]
    yield line(located, kind)
    if len(located) <= 40:
        for x, y in located:
            yield from _mark(x, y, kind)


def _mark(x: float, y: float, kind: str) -> Iterator[Markup]:
    """Mark a point by the shape of its curve, so that curves differ not only in colour."""
    if kind == "series-a":
        yield element("circle", class_=f"{kind} mark", cx=x, cy=y, r=3.5)
    elif kind == "series-b":
        yield element("rect", class_=f"{kind} mark", x=x - 3.5, y=y - 3.5, width=7, height=7)
    else:
        yield element("path", class_=f"{kind} mark", d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z")


def _draw_resolutions(axes: Axes, history: Sequence[EpochRecord]) -> Iterator[Markup]:
    """Write the training resolution above its epochs, with a line where it changes."""
    begun = 0
    for position, record in enumerate(history):
        following = history[position + 1] if position + 1 < len(history) else None
        if following is not None and following.resolution_px == record.resolution_px:
            continue
        first, last = history[begun].epoch, record.epoch
        center = axes.locate((first + last) / 2, axes.y[1])
        yield text(center[0], axes.top - 8, f"{record.resolution_px} px", anchor="middle", class_="resolution")
        if following is not None:
            x = axes.locate(last + 0.5, 0)[0]
            yield element("line", class_="parting", x1=x, x2=x, y1=axes.top, y2=axes.top + axes.height)
        begun = position + 1
