"""Pictures of a comparison of runs: differences by class, and the images that one run alone gets right."""

import math

import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.image_grid import draw_images
from visionlib.drawing.lettering import fit_text, format_probability, measure_text, set_plain, write_title
from visionlib.drawing.palette import CONTRAST, MAIN, NEUTRAL, RIGHT_SIGN, WRONG_SIGN
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.comparison.comparison import Comparison, PairComparison
from visionlib.evaluation.intervals import Interval

_MOST_CLASSES = 100
_MOST_PAIRS = 12
_WIDTH_IN, _ROW_IN, _FRAME_IN = 7.5, 0.22, 1.25
_LABEL_PT, _TITLE_PT = 8.0, 9.0
_LABEL_WIDTH_PT = 110.0


def draw_differences(comparison: Comparison) -> Figure:
    """Draw the difference of accuracy by class, with intervals, a panel for each pair of runs.

    Classes are sorted by their difference in the first pair; of more than 100 the 100 that differ most there are drawn.

    Raises:
        ConfigError: if there are more than 12 pairs.
    """
    pairs = comparison.pairs
    if len(pairs) > _MOST_PAIRS:
        problem = f"{len(pairs)} are too many for a picture"
        raise ConfigError("pairs", problem, "test each run against the first alone, or fewer runs")
    shown = _choose_classes(pairs[0])
    columns = min(2, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(_WIDTH_IN, rows * (_FRAME_IN + _ROW_IN * (len(shown) + 1)) + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten()
    for axes, pair in zip(panels, pairs, strict=False):
        _draw_pair(axes, comparison, pair, shown, width=_WIDTH_IN * 72 / columns)
    for axes in panels[len(pairs) :]:
        axes.set_axis_off()
    left_out = len(comparison.classes) - len(shown)
    note = f" {left_out} classes that differ less are left out." if left_out else ""
    title = f"Difference of accuracy in points, with 95 % intervals ({comparison.logits} logits).{note}"
    write_title(figure, title, size=_TITLE_PT)
    return figure


def draw_differing(
    comparison: Comparison, images: UInt8[Tensor, "n c h w"], *, count: int = 12, columns: int = 6
) -> Figure:
    """Draw the images that one run of a pair gets right and the other wrong, for each pair in both directions.

    They are sorted by the difference of the probability of the true class, the largest first.

    Args:
        comparison: of runs on these images.
        images: all images of the predicted split, stored pixels.
        count: most images for each direction of a pair.
        columns: images in a row.
    Raises:
        RunError: if the number of images is not that of the comparison.
        ConfigError: if there are more than 1,000 images to draw.
    """
    if len(images) != len(comparison.labels):
        problem = f"there are {len(images):,} for {len(comparison.labels):,} that were compared"
        raise RunError("images", problem, "give the split that was predicted")
    positions: list[int] = []
    captions: list[str] = []
    headings: dict[int, str] = {}
    for pair in comparison.pairs:
        for right, wrong, differing in (
            (pair.first, pair.second, pair.only_first),
            (pair.second, pair.first, pair.only_second),
        ):
            probability = comparison.true_probability[:, differing]
            order = (probability[right] - probability[wrong]).argsort(descending=True, stable=True)[:count]
            if len(order):
                names = (embed_name(comparison.runs[number].name, 24) for number in (right, wrong))
                headings[len(positions)] = "only {} is right, not {}: {:,}".format(*names, len(differing))
            for position in differing[order].tolist():
                positions.append(position)
                captions.append(_caption(comparison, right, wrong, position))
    chosen = torch.tensor(positions, dtype=torch.int64, device=images.device)
    return draw_images(
        images[chosen], captions, title=describe_comparison(comparison), headings=headings, columns=columns
    )


def describe_comparison(comparison: Comparison) -> str:
    """Describe the differences in words, as a title and a text alternative."""
    sentences = []
    for pair in comparison.pairs:
        first, second = (embed_name(comparison.runs[number].name) for number in (pair.first, pair.second))
        sentences.append(
            f"Of {pair.counts.n:,} images {pair.counts.only_first:,} are right by {first} alone and "
            f"{pair.counts.only_second:,} by {second} alone."
        )
    return " ".join(sentences)


def _choose_classes(pair: PairComparison) -> list[int]:
    """Choose the classes with images that differ most, sorted by their difference."""
    known = [(entry.counts.difference, label) for label, entry in enumerate(pair.per_class)]
    most = sorted((part for part in known if part[0] is not None), key=lambda part: -abs(part[0] or 0.0))
    return [label for _, label in sorted(most[:_MOST_CLASSES], key=lambda part: (part[0] or 0.0, -part[1]))]


def _draw_pair(axes: Axes, comparison: Comparison, pair: PairComparison, shown: list[int], *, width: float) -> None:
    axes.axvline(0, color="0.3", lw=1)
    labels = []
    for row, label in enumerate(shown, 1):
        entry = pair.per_class[label]
        labels.append(fit_text(embed_name(entry.name), _LABEL_WIDTH_PT, _LABEL_PT))
        _draw_bar(axes, row, entry.counts.difference, entry.interval, is_bold=False)
    _draw_bar(axes, 0, pair.difference, pair.interval, is_bold=True)
    axes.axhline(0.5, color="0.8", lw=0.8)
    axes.set_yticks(range(len(shown) + 1), ["all images", *labels], fontsize=_LABEL_PT)
    axes.set_ylim(-0.7, len(shown) + 0.7)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    room = width - _LABEL_WIDTH_PT - 20
    lines = []
    # In two lines, so that neither name pushes the other away.
    for words, number in (("accuracy of ", pair.second), ("minus that of ", pair.first)):
        name = embed_name(comparison.runs[number].name)
        lines.append(words + fit_text(name, room - measure_text(words, _TITLE_PT), _TITLE_PT))
    axes.set_title("\n".join(lines), fontsize=_TITLE_PT)
    set_plain([axes.title, *axes.get_yticklabels()])
    axes.set_xlabel("points", fontsize=_LABEL_PT)
    axes.tick_params(axis="x", labelsize=_LABEL_PT, labelbottom=True)


def _draw_bar(axes: Axes, row: int, difference: float | None, interval: Interval | None, *, is_bold: bool) -> None:
    if difference is None or interval is None:
        return
    low, high = interval
    # Marker and colour both give the direction, if the interval excludes 0.
    marker, colour = (">", MAIN) if low > 0 else ("<", CONTRAST) if high < 0 else ("o", NEUTRAL)
    reach = [[100 * max(0.0, difference - low)], [100 * max(0.0, high - difference)]]
    width = 2.2 if is_bold else 1.2
    axes.errorbar([100 * difference], [row], xerr=reach, color=colour, marker=marker, ms=6, lw=width, capsize=3)


def _caption(comparison: Comparison, right: int, wrong: int, position: int) -> str:
    predicted, label = (
        embed_name(comparison.classes[int(part[position])]) for part in (comparison.predicted[wrong], comparison.labels)
    )
    return (
        f"{RIGHT_SIGN} {label} {format_probability(float(comparison.confidence[right, position]))}\n"
        f"{WRONG_SIGN} {predicted} {format_probability(float(comparison.confidence[wrong, position]))}"
    )
