"""The accuracy of a class as a bar with its interval, for a cell of a table."""

from collections.abc import Sequence

from markupsafe import Markup

from visionlib.evaluation.wording import percent
from visionlib.report.charts.svg import element, picture

_WIDTH, _HEIGHT = 120, 18


def draw_class_bar(accuracy: float | None, interval: Sequence[float] | None, overall: float | None) -> Markup:
    """Draw a bar from 0 to the accuracy, its interval as a whisker, and a line at the overall accuracy.

    Args:
        accuracy: of the class; None draws an empty frame.
        interval: of the accuracy.
        overall: accuracy of the split.
    """
    parts = [element("rect", class_="bar-frame", x=0, y=3, width=_WIDTH, height=_HEIGHT - 6)]
    if accuracy is not None:
        parts.append(element("rect", class_="bar", x=0, y=3, width=accuracy * _WIDTH, height=_HEIGHT - 6))
    if overall is not None:
        x = overall * _WIDTH
        parts.append(element("line", class_="bar-overall", x1=x, x2=x, y1=0, y2=_HEIGHT))
    if interval is not None:
        low, high = (limit * _WIDTH for limit in interval)
        middle = _HEIGHT / 2
        parts.append(
            element("path", class_="whisker", d=f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} 5v8M{high:.1f} 5v8")
        )
    return picture(_WIDTH, _HEIGHT, "no images" if accuracy is None else percent(accuracy), parts)
