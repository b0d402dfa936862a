"""A picture of an embedding map: a dot per image, told apart by colour, shape and name, and the mistakes crossed."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from visionlib.inspection.captions import measure_name, shorten_name, wrap_lines
from visionlib.inspection.embedding_map import EmbeddingMap

_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#6E6E6E")
_SHAPES = "os^DvP<>"
_MOST_NAMED, _MOST_TOLD = 12, 100
"""Classes up to which their names stand on the map; up to which their numbers do, and the names below it."""
_WIDTH, _TITLE, _LINE, _LEGEND_COLUMNS = 7.5, 0.5, 0.19, 4
"""In inches, but for the columns."""
_NAME_EMS, _TAG_POINTS = 9, 9


def draw_map(embedding_map: EmbeddingMap) -> Figure:
    """Draw the map: the colour and shape of a dot tell its label, a cross over it that it is predicted otherwise.

    Of more than 100 classes no names are told.
    """
    labels, positions = embedding_map.labels.numpy(), embedding_map.positions.numpy()
    is_wrong = (embedding_map.predictions != embedding_map.labels).numpy()
    present = np.unique(labels)
    rows = math.ceil((min(len(present), _MOST_TOLD) + 1) / _LEGEND_COLUMNS)
    height = _TITLE + _WIDTH + _LINE * (rows + 1)
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.005, _LINE * (rows + 0.8) / height, 0.99, _WIDTH * 0.99 / height))
    _frame(axes, positions)
    size = float(np.clip(40_000 / len(labels), 4, 40))
    for label in present:
        (colour, shape), (x, y) = _look_of(int(label)), positions[labels == label].T
        axes.scatter(x, y, s=size, c=colour, marker=shape, linewidths=0, alpha=0.65, rasterized=True)
    x, y = positions[is_wrong].T
    axes.scatter(x, y, s=size * 2.5, c="black", marker="x", linewidths=0.7, rasterized=True, zorder=3)
    names = [shorten_name(embedding_map.classes[label], _NAME_EMS) for label in present]
    if len(present) > _MOST_TOLD:
        present, names = present[:0], []
    tags = names if len(names) <= _MOST_NAMED else [str(label) for label in present]
    _write_tags(axes, positions, labels, present, tags)
    told = names if tags is names else [f"{label} {name}" for label, name in zip(present, names, strict=True)]
    _write_legend(figure, present, [*told, f"{int(is_wrong.sum()):,} predicted wrong"])
    title = wrap_lines(_describe_whole(embedding_map), 108)
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=9, parse_math=False)
    return figure


def describe_map(embedding_map: EmbeddingMap) -> str:
    """Say in words what `draw_map` shows: how many images, how good the map is, and which classes lie nearest."""
    n, wrong = len(embedding_map.labels), int((embedding_map.predictions != embedding_map.labels).sum())
    labels, positions = embedding_map.labels.numpy(), embedding_map.positions.numpy()
    present = np.unique(labels)
    told = f"{_describe_whole(embedding_map)}. {wrong:,} of {n:,} are predicted wrong and crossed."
    if len(present) > 1:
        middles = _find_middles(positions, labels, present)
        apart = np.linalg.norm(middles[:, None] - middles[None], axis=2)
        apart[np.diag_indices(len(present))] = np.inf
        first, second = (
            shorten_name(embedding_map.classes[present[place]], 40)
            for place in np.unravel_index(apart.argmin(), apart.shape)
        )
        told += f" The classes that lie nearest to each other are {first} and {second}."
    return told


def _describe_whole(embedding_map: EmbeddingMap) -> str:
    n = len(embedding_map.labels)
    part = "" if n == embedding_map.n_split else f" of {embedding_map.n_split:,}"
    return (
        f"{n:,}{part} images of the {embedding_map.split} split by t-SNE of what goes into the last layer: perplexity "
        f"{embedding_map.perplexity:.3g}, divergence {embedding_map.kl_divergence:.2f} nats, trustworthiness "
        f"{embedding_map.trustworthiness:.3f}; only who is near whom has a meaning"
    )


def _look_of(label: int) -> tuple[str, str]:
    """Give colour and shape of a class: both change from one to the next, and 64 differ."""
    return _OKABE_ITO[label % len(_OKABE_ITO)], _SHAPES[(label + label // len(_OKABE_ITO)) % len(_SHAPES)]


def _frame(axes: Axes, positions: NDArray[np.float32]) -> None:
    """Show a square around all positions, with the same scale on both axes."""
    low, high = positions.min(0), positions.max(0)
    middle, reach = (low + high) / 2, max(float((high - low).max()), 1e-6) * 0.53
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set(xticks=[], yticks=[])


def _find_middles(
    positions: NDArray[np.float32], labels: NDArray[np.int64], present: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.array([np.median(positions[labels == label], 0) for label in present], dtype=np.float64).reshape(-1, 2)


def _write_tags(
    axes: Axes,
    positions: NDArray[np.float32],
    labels: NDArray[np.int64],
    present: NDArray[np.int64],
    tags: list[str],
) -> None:
    """Write each class's tag over its middle, moved apart where two would overlap."""
    (left, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    units_per_point = (right - left) / (_WIDTH * 0.99 * 72)
    # Bold letters are wider than those that are measured.
    sizes = np.array([(1.2 * _TAG_POINTS * measure_name(tag) + 3, 1.4 * _TAG_POINTS) for tag in tags]).reshape(-1, 2)
    corner = np.array((left, bottom))
    places = _move_apart((_find_middles(positions, labels, present) - corner) / units_per_point, sizes)
    for (x, y), tag in zip(places * units_per_point + corner, tags, strict=True):
        text = axes.text(
            x, y, tag, ha="center", va="center", fontsize=_TAG_POINTS, weight="bold", zorder=5, parse_math=False
        )
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _move_apart(middles: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 500) -> NDArray[np.float64]:
    """Push boxes within the panel apart, each pair along the axis in which it takes least, until none overlap.

    Args:
        middles: of the boxes, in points from the corner of the panel.
        sizes: width and height of each, in points.
        rounds: after so many it is left as it is.
    """
    places = middles.copy()
    side = _WIDTH * 0.99 * 72
    # Boxes at one place are pushed apart in the order of the classes.
    order = np.sign(np.arange(len(places))[:, None] - np.arange(len(places))[None])
    for _ in range(rounds):
        between = places[:, None] - places[None]
        overlap = (sizes[:, None] + sizes[None]) / 2 - np.abs(between)
        is_touching = (overlap > 0).all(2) & (order != 0)
        if not is_touching.any():
            break
        direction = np.where(between == 0, order[:, :, None], np.sign(between))
        is_least = np.stack([overlap[:, :, 0] < overlap[:, :, 1], overlap[:, :, 0] >= overlap[:, :, 1]], 2)
        places += ((overlap * 0.35 + 0.2) * direction * is_least * is_touching[:, :, None]).sum(1)
        places = np.clip(places, sizes / 2, side - sizes / 2)
    return places


def _write_legend(figure: Figure, present: NDArray[np.int64], told: list[str]) -> None:
    looks = [*(_look_of(int(label)) for label in present), ("black", "x")]
    handles = [Line2D([], [], color=colour, marker=shape, ls="none", ms=6) for colour, shape in looks]
    # Texts are set afterwards: as labels, names that begin with an underline would be left out.
    legend = figure.legend(
        handles, map(str, range(len(handles))), loc="lower left", frameon=False, ncols=_LEGEND_COLUMNS, fontsize=8
    )
    for text, name in zip(legend.get_texts(), told, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
