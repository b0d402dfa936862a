"""Pictures of a comparison show its figures, whatever the names and however many classes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from tests.drawing.test_image_grid import HOSTILE, assert_tidy, texts
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import Comparison
from visionlib.evaluation.comparison.comparison import ClassDifference, PairComparison
from visionlib.evaluation.comparison.paired import adjust_by_holm, bootstrap_interval, count_pairs, mcnemar_p
from visionlib.evaluation.comparison.run_metrics import RunMetrics
from visionlib.evaluation.pictures.comparison import describe_comparison, draw_differences, draw_differing


def compared(runs: int = 2, k: int = 4, n: int = 400, names: list[str] | None = None) -> Comparison:
    """Runs that are right by chance, each a little more often than the one before."""
    classes = tuple((names or [f"class {c}" for c in range(k)])[:k])
    labels = torch.arange(n) % k
    is_right = torch.rand(runs, n) < torch.linspace(0.6, 0.8, runs)[:, None]
    predicted = torch.where(is_right, labels, (labels + 1) % k)
    true_probability = torch.where(is_right, 0.6 + 0.4 * torch.rand(runs, n), 0.3 * torch.rand(runs, n)).double()
    pairs = []
    for first in range(runs):
        for second in range(first + 1, runs):
            counts = count_pairs(is_right[first], is_right[second])
            per_class = tuple(
                ClassDifference(name, count_pairs(is_right[first][labels == place], is_right[second][labels == place]))
                for place, name in enumerate(classes)
            )
            only_first, only_second = (
                (one & ~other).nonzero().flatten()
                for one, other in ((is_right[first], is_right[second]), (is_right[second], is_right[first]))
            )
            p = mcnemar_p(counts)
            pairs.append(
                PairComparison(
                    first,
                    second,
                    counts,
                    bootstrap_interval(counts),
                    p,
                    adjust_by_holm([p])[0],
                    only_first,
                    only_second,
                    per_class,
                )
            )
    figures = tuple(
        RunMetrics(f"run {r}", f"runs/{r}", "resnet20", n, int(is_right[r].sum()), 0, 1.0, None, None, None, None, None)
        for r in range(runs)
    )
    return Comparison(
        classes, "hash", "plain", figures, tuple(pairs), 10_000, 0, (), torch.arange(n), labels, predicted,
        torch.full((runs, n), 0.7).double(), true_probability,
    )  # fmt: skip


def bars(figure: Figure, panel: int = 0) -> dict[str, tuple[float, float, float]]:
    """Read low end, middle and high end of each bar by its label."""
    axes = figure.axes[panel]
    names = {
        round(place): label.get_text() for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    }
    found = {}
    for container in axes.containers:
        line, _, (reach,) = container
        ((low, y), (high, _)) = reach.get_segments()[0]
        found[names[round(float(y))]] = (float(low), float(line.get_xdata()[0]), float(high))
    return found


def test_every_class_has_its_difference_and_interval() -> None:
    comparison = compared()
    figure = draw_differences(comparison)
    (pair,) = comparison.pairs
    drawn = bars(figure)
    assert set(drawn) == {"all images", *comparison.classes}
    for entry in pair.per_class:
        low, high = entry.interval or (0, 0)
        assert drawn[entry.name] == pytest.approx((100 * low, 100 * (entry.counts.difference or 0), 100 * high))
    low, high = pair.interval or (0, 0)
    assert drawn["all images"] == pytest.approx((100 * low, 100 * (pair.difference or 0), 100 * high))
    title = figure.axes[0].get_title()
    assert title == "accuracy of run 1\nminus that of run 0"
    middles = [drawn[label.get_text()][1] for label in figure.axes[0].get_yticklabels()[1:]]
    assert middles == sorted(middles)


def test_a_class_without_images_is_left_out() -> None:
    comparison = compared(k=4, n=3)
    assert set(bars(draw_differences(comparison))) == {"all images", "class 0", "class 1", "class 2"}


def test_a_panel_for_each_pair_and_too_many_are_refused() -> None:
    figure = draw_differences(compared(runs=4))
    assert sum(bool(axes.get_title()) for axes in figure.axes) == 6
    with pytest.raises(ConfigError, match="pairs: 15 are too many for a picture"):
        draw_differences(compared(runs=6))


@pytest.mark.parametrize("k", [2, 100, 130])
def test_labels_do_not_overlap_however_many(k: int) -> None:
    figure = draw_differences(compared(k=k, n=2600))
    figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == min(k, 100) + 1
    for below, above in itertools.pairwise(labels):
        assert below.y1 <= above.y0
    assert ("30 classes that differ less are left out" in figure.get_suptitle()) == (k == 130)


def test_hostile_names_stay_within_the_picture() -> None:
    comparison = compared(runs=3, k=len(HOSTILE), names=HOSTILE)
    runs = tuple(replace(run, name=name) for run, name in zip(comparison.runs, HOSTILE, strict=False))
    comparison = replace(comparison, runs=runs)
    figure = draw_differences(comparison)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for axes in figure.axes[:3]:
        plot = axes.get_window_extent()
        assert plot.width > 0.25 * width
        for text in [axes.title, *axes.get_yticklabels()]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height
    assert figure.axes[0].title.get_window_extent().x1 <= figure.axes[1].title.get_window_extent().x0
    images = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    assert_tidy(draw_differing(comparison, images, count=3))


def test_the_gallery_shows_what_one_gets_right_and_the_other_wrong() -> None:
    comparison = compared()
    (pair,) = comparison.pairs
    images = torch.arange(400)[:, None, None, None].expand(400, 1, 28, 28) // 2
    figure = draw_differing(comparison, images.to(torch.uint8), count=5)
    shown = [int(np.asarray(image.get_array())[0, 0, 0]) for image in figure.axes[0].images]
    expected = []
    for right, wrong, differing in ((0, 1, pair.only_first), (1, 0, pair.only_second)):
        gap = comparison.true_probability[right] - comparison.true_probability[wrong]
        expected += sorted(differing.tolist(), key=lambda position: -float(gap[position]))[:5]
    assert shown == [position // 2 for position in expected]
    lines = [text.get_text() for text in texts(figure)]
    assert f"only run 0 is right, not run 1: {pair.counts.only_first:,}" in lines
    assert f"only run 1 is right, not run 0: {pair.counts.only_second:,}" in lines
    captions = [line for line in lines if line.startswith("\N{CHECK MARK}")]
    assert captions == [f"\N{CHECK MARK} {comparison.classes[position % 4]} 70 %" for position in expected]
    assert_tidy(figure)
    assert f"Of 400 images {pair.counts.only_first} are right by run 0 alone" in describe_comparison(comparison)


def test_runs_that_differ_nowhere_make_a_picture() -> None:
    comparison = compared()
    nothing = torch.zeros(0, dtype=torch.int64)
    pair = replace(comparison.pairs[0], only_first=nothing, only_second=nothing)
    images = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    figure = draw_differing(replace(comparison, pairs=(pair,)), images)
    assert len(figure.axes[0].images) == 0
    with pytest.raises(RunError, match="images: there are 399 for 400 that were compared"):
        draw_differing(comparison, images[:399])
