"""The picture of a range test shows its losses, and its suggestion or why there is none."""

import numpy as np

from tests.training.test_history_picture import curve, legend
from visionlib.training.rate_finder import RateFinding
from visionlib.training.rate_picture import draw_rate_finding
from visionlib.training.rate_rule import cap_losses, smooth_losses


def test_a_range_test_is_drawn_on_a_logarithmic_axis_with_its_suggestion() -> None:
    rates = tuple(np.geomspace(1e-3, 10, 30))
    losses = tuple([2.5 - 0.02 * step for step in range(25)] + [2.5, 5.0, 50.0, 5e3, 1e6])
    smoothed = tuple(smooth_losses(cap_losses(losses)))
    finding = RateFinding(rates, losses, smoothed, 0.12, "half of everything " * 9, {"peak_learning_rate": 0.12}, True)
    figure = draw_rate_finding(finding)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert curve(figure, "loss of each batch") == list(zip(rates, losses, strict=True))
    assert legend(figure) == ["loss of each batch", "smoothed", "suggestion: 0.12"]
    (mark,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert list(np.asarray(mark.get_xdata())) == [0.12, 0.12]
    # What has run away does not flatten the rest.
    low, high = axes.get_ylim()
    assert 1.5 < low < 2.02
    assert 5 < high < 6
    title = axes.get_title(loc="left")
    assert title.startswith("0.12 is half of everything")
    assert max(map(len, title.splitlines())) <= 95


def test_without_a_suggestion_the_picture_says_why() -> None:
    rates, losses = (0.001, 0.1, 0.2), (2.0, 1.0, 30.0)
    finding = RateFinding(rates, losses, (2.0, 1.5, 3.0), None, "too few steps", {}, True, {"steps": 100})
    figure = draw_rate_finding(finding)
    (axes,) = figure.axes
    assert legend(figure) == ["loss of each batch", "smoothed"]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "-"]
    assert axes.get_title(loc="left") == "no suggestion: too few steps"
