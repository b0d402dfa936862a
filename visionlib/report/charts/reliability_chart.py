"""How often a network is right where it claims how much."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from visionlib.report.charts.axes import Axes
from visionlib.report.charts.svg import element, line, picture

_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw accuracy over confidence, bin by bin, with intervals; on the dashed line both are the same.

    Args:
        bins: `calibration.reliability` of `evaluation.json`.
    """
    axes = Axes(60, 30, 340, 340, (0.0, 1.0), (0.0, 1.0))
    return picture(430, 430, "Accuracy over confidence, bin by bin", _draw(axes, bins))


def _draw(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    yield from axes.draw(
        _TICKS,
        _TICKS,
        x_title="confidence: probability of the predicted class",
        y_title="accuracy",
        write_x=lambda tick: f"{tick:.0%}",
        write_y=lambda tick: f"{tick:.0%}",
    )
    yield line([axes.place(0, 0), axes.place(1, 1)], "diagonal")
    largest = max((entry["n"] for entry in bins), default=0) or 1
    for entry in bins:
        if not entry["n"]:
            continue
        x, y = axes.place(entry["mean_confidence"], entry["accuracy"])
        low, high = (axes.place(0, share)[1] for share in entry["confidence_interval"])
        yield element("line", class_="whisker", x1=x, x2=x, y1=low, y2=high)
        # The area of a dot is the share of the images that it stands for.
        yield element("circle", class_="series-a mark", cx=x, cy=y, r=3 + 9 * (entry["n"] / largest) ** 0.5)
