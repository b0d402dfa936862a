"""Pictures of a comparison: differences class by class, and the images that one run gets right and the other wrong."""

import math

import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.class_names import embed_name, show_probability
from visionlib.drawing.gallery import draw_images
from visionlib.drawing.lettering import fit_text, font_families, measure_text, wrap_text
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.comparison.comparison import ClassDifference, Comparison, PairComparison

_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#555555"
"""Of Okabe and Ito's colours; markers differ as well."""
_MOST_CLASSES = 100
_MOST_PAIRS = 12
_WIDTH_IN, _ROW_IN, _FRAME_IN = 7.5, 0.22, 1.25
_LABEL_PT, _TITLE_PT = 8.0, 9.0
_LABEL_WIDTH_PT = 110.0


def draw_differences(comparison: Comparison) -> Figure:
    """Draw how accuracy differs class by class, with intervals, a panel for each pair.

    Classes stand in the order of their difference in the first pair; of more than 100 those that differ most there.

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
    told = f" {left_out} classes that differ less are left out." if left_out else ""
    title = f"Difference of accuracy in points, with 95 % intervals ({comparison.logits} logits).{told}"
    figure.suptitle(wrap_text(title, _WIDTH_IN * 72 - 20, _TITLE_PT), fontsize=_TITLE_PT, parse_math=False)
    return figure


def draw_differing(
    comparison: Comparison, images: UInt8[Tensor, "n c h w"], *, count: int = 12, columns: int = 6
) -> Figure:
    """Draw images that one of a pair gets right and the other wrong, for each pair both ways.

    First come those where the probabilities of the true class are furthest apart.

    Args:
        comparison: of runs on these images.
        images: the whole split that was predicted, pixels as they are.
        count: images of either way for each pair, at most.
        columns: images in a row.
    Raises:
        RunError: if the images are not as many as were compared.
        ConfigError: if the pictures would be more than 1,000.
    """
    if len(images) != len(comparison.labels):
        told = f"there are {len(images):,} for {len(comparison.labels):,} that were compared"
        raise RunError("images", told, "give the split that was predicted")
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
                names = (embed_name(comparison.runs[place].name, 24) for place in (right, wrong))
                headings[len(positions)] = "only {} is right, not {}: {:,}".format(*names, len(differing))
            for position in differing[order].tolist():
                positions.append(position)
                captions.append(_caption(comparison, right, wrong, position))
    chosen = torch.tensor(positions, dtype=torch.int64, device=images.device)
    return draw_images(
        images[chosen], captions, title=describe_comparison(comparison), headings=headings, columns=columns
    )


def describe_comparison(comparison: Comparison) -> str:
    """Say in sentences how the pairs differ, as a title and as a text for those who do not see the picture."""
    told = []
    for pair in comparison.pairs:
        first, second = (embed_name(comparison.runs[place].name) for place in (pair.first, pair.second))
        told.append(
            f"Of {pair.counts.n:,} images {pair.counts.only_first:,} are right by {first} alone and "
            f"{pair.counts.only_second:,} by {second} alone."
        )
    return " ".join(told)


def _choose_classes(pair: PairComparison) -> list[int]:
    """Choose the classes with images that differ most, and put them in the order of their differences."""
    known = [(entry.counts.difference, place) for place, entry in enumerate(pair.per_class)]
    most = sorted((part for part in known if part[0] is not None), key=lambda part: -abs(part[0] or 0.0))
    return [place for _, place in sorted(most[:_MOST_CLASSES], key=lambda part: (part[0] or 0.0, -part[1]))]


def _draw_pair(axes: Axes, comparison: Comparison, pair: PairComparison, shown: list[int], *, width: float) -> None:
    axes.axvline(0, color="0.3", lw=1)
    labels = []
    for row, place in enumerate(shown, 1):
        entry = pair.per_class[place]
        labels.append(fit_text(embed_name(entry.name), _LABEL_WIDTH_PT, _LABEL_PT))
        _draw_difference(axes, row, entry)
    if pair.difference is not None and pair.interval is not None:
        _draw_bar(axes, 0, pair.difference, pair.interval, is_bold=True)
    axes.axhline(0.5, color="0.8", lw=0.8)
    axes.set_yticks(range(len(shown) + 1), ["all images", *labels], fontsize=_LABEL_PT)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, family=list(font_families()))
    axes.set_ylim(-0.7, len(shown) + 0.7)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    room = width - _LABEL_WIDTH_PT - 20
    lines = []
    # In two lines, so that neither name pushes the other away.
    for words, place in (("accuracy of ", pair.second), ("minus that of ", pair.first)):
        name = embed_name(comparison.runs[place].name)
        lines.append(words + fit_text(name, room - measure_text(words, _TITLE_PT), _TITLE_PT))
    title = "\n".join(lines)
    axes.set_title(title, fontsize=_TITLE_PT, parse_math=False, family=list(font_families()))
    axes.set_xlabel("points", fontsize=_LABEL_PT)
    axes.tick_params(axis="x", labelsize=_LABEL_PT, labelbottom=True)


def _draw_difference(axes: Axes, row: int, entry: ClassDifference) -> None:
    difference, interval = entry.counts.difference, entry.interval
    if difference is not None and interval is not None:
        _draw_bar(axes, row, difference, interval, is_bold=False)


def _draw_bar(axes: Axes, row: int, difference: float, interval: tuple[float, float], *, is_bold: bool) -> None:
    low, high = interval
    # Form and colour say the same: which way, if the interval leaves 0 out.
    marker, colour = (">", _BLUE) if low > 0 else ("<", _RED) if high < 0 else ("o", _GREY)
    reach = [[100 * max(0.0, difference - low)], [100 * max(0.0, high - difference)]]
    width = 2.2 if is_bold else 1.2
    axes.errorbar([100 * difference], [row], xerr=reach, color=colour, marker=marker, ms=6, lw=width, capsize=3)


def _caption(comparison: Comparison, right: int, wrong: int, position: int) -> str:
    said, label = (
        embed_name(comparison.classes[int(part[position])]) for part in (comparison.predicted[wrong], comparison.labels)
    )
    return "\n".join(
        [
            f"\N{CHECK MARK} {label} {show_probability(float(comparison.confidence[right, position]))}",
            f"\N{BALLOT X} {said} {show_probability(float(comparison.confidence[wrong, position]))}",
        ]
    )
