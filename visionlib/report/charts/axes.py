"""Axes of a chart: from values to coordinates of the picture."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from visionlib.report.charts.svg import element, text


@dataclass(frozen=True)
class Axes:
    """A rectangle in a picture, with a scale along each side.

    Attributes:
        left: of the rectangle, in the picture's units, as are `top`, `width` and `height`.
        x: lowest and highest value from left to right.
        y: lowest and highest value from bottom to top.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Return the coordinates of a pair of values, clipped to the rectangle."""
        return self.left + _scale(x, self.x) * self.width, self.top + (1 - _scale(y, self.y)) * self.height

    def draw(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        *,
        x_title: str,
        y_title: str,
        write_x: Callable[[float], str],
        write_y: Callable[[float], str],
    ) -> Iterator[Markup]:
        """Draw grid lines, ticks and titles."""
        bottom, right = self.top + self.height, self.left + self.width
        for tick in y_ticks:
            y = self.locate(self.x[0], tick)[1]
            yield element("line", class_="grid", x1=self.left, x2=right, y1=y, y2=y)
            yield text(self.left - 6, y + 4, write_y(tick), anchor="end")
        for tick in x_ticks:
            x = self.locate(tick, self.y[0])[0]
            yield element("line", class_="grid", x1=x, x2=x, y1=bottom, y2=bottom + 4)
            yield text(x, bottom + 18, write_x(tick), anchor="middle")
        yield element("line", class_="axis", x1=self.left, x2=right, y1=bottom, y2=bottom)
        yield text(self.left + self.width / 2, bottom + 36, x_title, anchor="middle", class_="axis-title")
        yield text(0, self.top - 24, y_title, class_="axis-title")


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, with both ends where they are round."""
    span = max(high - low, 1e-9)
    step = 10 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(multiple * step, 10) for multiple in range(first, last + 1)]


def integer_ticks(first: int, last: int, most: int = 10) -> list[float]:
    """Return integers from the first to the last in equal steps, at most `most`."""
    step = max(1, math.ceil((last - first + 1) / most))
    return [float(value) for value in range(first, last + 1, step)]


def _scale(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5
