"""Accuracy and loss of each epoch."""

from collections.abc import Iterator, Sequence
from typing import Literal

from markupsafe import Markup

from visionlib.report.charts.axes import Axes, integer_ticks, round_ticks
from visionlib.report.charts.svg import element, line, picture, text
from visionlib.report.contents import EpochRecord

_Accuracy = Literal["training_accuracy", "validation_accuracy", "test_accuracy"]
_CURVES: tuple[tuple[_Accuracy, str, str], ...] = (
    ("training_accuracy", "augmented training images", "series-a"),
    ("validation_accuracy", "held out of the training images", "series-b"),
    ("test_accuracy", "test images", "series-c"),
)
_WIDTH = 640


def draw_history(history: Sequence[EpochRecord]) -> Markup:
    """Draw the history of a run.

    Args:
        history: the lines of `history.jsonl`, at least one.
    """
    last = history[-1]["epoch"]
    lowest = min((accuracy for name, *_ in _CURVES for _, accuracy in _select_points(history, name)), default=0.0)
    above = Axes(56, 34, _WIDTH - 76, 190, (0.5, last + 0.5), (max(0.0, lowest - 0.05), 1.0))
    losses = [record["loss"] for record in history]
    below = Axes(56, 300, _WIDTH - 76, 100, (0.5, last + 0.5), (min(0.0, *losses), max(losses) * 1.05 or 1.0))
    title = f"Accuracy and loss over {last} epochs"
    return picture(_WIDTH, 510, title, [*_draw_accuracy(above, history, last), *_draw_loss(below, history, last)])


def _draw_accuracy(axes: Axes, history: Sequence[EpochRecord], last: int) -> Iterator[Markup]:
    yield from _draw_resolutions(axes, history)
    yield from axes.draw(
        integer_ticks(1, last),
        round_ticks(*axes.y),
        x_title="",
        y_title="accuracy",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: f"{tick:.0%}",
    )
    for row, (name, label, kind) in enumerate(_CURVES):
        points = _select_points(history, name)
        if points:
            yield from _draw_curve(axes, points, kind)
            y = 464 + 18 * row
            yield from _mark(70, y - 4, kind)
            yield text(84, y, label)


def _select_points(history: Sequence[EpochRecord], name: _Accuracy) -> list[tuple[float, float]]:
    return [(record["epoch"], value) for record in history if (value := record.get(name)) is not None]


def _draw_loss(axes: Axes, history: Sequence[EpochRecord], last: int) -> Iterator[Markup]:
    yield from axes.draw(
        integer_ticks(1, last),
        round_ticks(*axes.y, most=3),
        x_title="epoch",
        y_title="training loss, nats",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: f"{tick:g}",
    )
    yield from _draw_curve(axes, [(record["epoch"], record["loss"]) for record in history], "series-a")


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
        if following is not None and following.get("resolution_px") == record.get("resolution_px"):
            continue
        first, last = history[begun]["epoch"], record["epoch"]
        center = axes.locate((first + last) / 2, axes.y[1])
        if record.get("resolution_px"):
            yield text(center[0], axes.top - 8, f"{record['resolution_px']} px", anchor="middle")
        if following is not None:
            x = axes.locate(last + 0.5, 0)[0]
            yield element("line", class_="parting", x1=x, x2=x, y1=axes.top, y2=axes.top + axes.height)
        begun = position + 1
