"""Accuracy and loss, epoch by epoch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from visionlib.report.charts.axes import Axes, round_ticks, whole_ticks
from visionlib.report.charts.svg import element, line, picture, text

_CURVES = (
    ("training_accuracy", "training images, as they were shown", "series-a"),
    ("validation_accuracy", "held out of the training images", "series-b"),
    ("test_accuracy", "test images", "series-c"),
)
_WIDTH = 640


def draw_history(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the history of a run.

    Args:
        history: the lines of `history.jsonl`, at least one.
    """
    last = history[-1]["epoch"]
    shown = [
        (record["epoch"], record[name]) for name, *_ in _CURVES for record in history if record.get(name) is not None
    ]
    lowest = min([share for _, share in shown], default=0.0)
    above = Axes(56, 34, _WIDTH - 76, 190, (0.5, last + 0.5), (max(0.0, lowest - 0.05), 1.0))
    losses = [record["loss"] for record in history]
    below = Axes(56, 300, _WIDTH - 76, 100, (0.5, last + 0.5), (min(0.0, *losses), max(losses) * 1.05 or 1.0))
    title = f"Accuracy and loss over {last} epochs"
    return picture(_WIDTH, 510, title, [*_draw_accuracy(above, history, last), *_draw_loss(below, history, last)])


def _draw_accuracy(axes: Axes, history: Sequence[Mapping[str, Any]], last: int) -> Iterator[Markup]:
    yield from _draw_resolutions(axes, history)
    yield from axes.draw(
        whole_ticks(1, last),
        round_ticks(*axes.y),
        x_title="",
        y_title="accuracy",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: f"{tick:.0%}",
    )
    for place, (name, label, kind) in enumerate(_CURVES):
        points = [(r["epoch"], r[name]) for r in history if r.get(name) is not None]
        if points:
            yield from _draw_curve(axes, points, kind)
            y = 464 + 18 * place
            yield from _mark(70, y - 4, kind)
            yield text(84, y, label)


def _draw_loss(axes: Axes, history: Sequence[Mapping[str, Any]], last: int) -> Iterator[Markup]:
    yield from axes.draw(
        whole_ticks(1, last),
        round_ticks(*axes.y, most=3),
        x_title="epoch",
        y_title="training loss, nats",
        write_x=lambda tick: f"{tick:.0f}",
        write_y=lambda tick: f"{tick:g}",
    )
    yield from _draw_curve(axes, [(r["epoch"], r["loss"]) for r in history], "series-a")


def _draw_curve(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> Iterator[Markup]:
    places = [axes.place(*point) for point in points]
    yield line(places, kind)
    if len(places) <= 40:
        for x, y in places:
            yield from _mark(x, y, kind)


def _mark(x: float, y: float, kind: str) -> Iterator[Markup]:
    """Mark a figure by the shape of its curve, so that colour is not all that tells curves apart."""
    if kind == "series-a":
        yield element("circle", class_=f"{kind} mark", cx=x, cy=y, r=3.5)
    elif kind == "series-b":
        yield element("rect", class_=f"{kind} mark", x=x - 3.5, y=y - 3.5, width=7, height=7)
    else:
        yield element("path", class_=f"{kind} mark", d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z")


def _draw_resolutions(axes: Axes, history: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    """Write the resolution above the epochs that were trained at it, and part them."""
    begun = 0
    for place, record in enumerate(history):
        following = history[place + 1] if place + 1 < len(history) else None
        if following is not None and following.get("resolution_px") == record.get("resolution_px"):
            continue
        first, last = history[begun]["epoch"], record["epoch"]
        middle = axes.place((first + last) / 2, axes.y[1])
        if record.get("resolution_px"):
            yield text(middle[0], axes.top - 8, f"{record['resolution_px']} px", anchor="middle")
        if following is not None:
            x = axes.place(last + 0.5, 0)[0]
            yield element("line", class_="parting", x1=x, x2=x, y1=axes.top, y2=axes.top + axes.height)
        begun = place + 1
