"""The reliability diagram: accuracy over confidence."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from visionlib.evaluation.calibration import ReliabilityBin
from visionlib.evaluation.wording import percent
from visionlib.report.charts.axes import Axes
from visionlib.report.charts.svg import element, line, picture

_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def draw_reliability(bins: Sequence[ReliabilityBin]) -> Markup:
    """Draw the accuracy of each bin of confidence with its interval; on the dashed line both are equal."""
    axes = Axes(60, 44, 340, 340, (0.0, 1.0), (0.0, 1.0))
    return picture(430, 436, "Accuracy over confidence, bin by bin", _draw(axes, bins), class_="chart wide")


def _draw(axes: Axes, bins: Sequence[ReliabilityBin]) -> Iterator[Markup]:
    yield from axes.draw(
        _TICKS,
        _TICKS,
        x_title="confidence: probability of the predicted class",
        y_title="accuracy",
        write_x=lambda tick: percent(tick, 0),
        write_y=lambda tick: percent(tick, 0),
    )
    yield line([axes.locate(0, 0), axes.locate(1, 1)], "diagonal")
    largest = max((entry.n for entry in bins), default=0)
    for entry in bins:
        if entry.mean_confidence is None or entry.accuracy is None or entry.confidence_interval is None:
            continue
        x, y = axes.locate(entry.mean_confidence, entry.accuracy)
        low, high = (axes.locate(0, limit)[1] for limit in entry.confidence_interval)
        yield element("line", class_="whisker", x1=x, x2=x, y1=low, y2=high)
        # The area of a dot is proportional to the number of images.
        yield element("circle", class_="series-a mark", cx=x, cy=y, r=3 + 9 * (entry.n / largest) ** 0.5)
