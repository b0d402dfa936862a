"""An embedding map: a dot per image, with colour, shape and name of its class, and a cross over each mistake."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from visionlib.data.class_names import embed_name
from visionlib.drawing.lettering import measure_text, set_plain, wrap_text
from visionlib.drawing.palette import CATEGORIES
from visionlib.inspection.embedding_map import EmbeddingMap
from visionlib.inspection.framed_image import fit_name

_SHAPES = "os^DvP<>"
_MOST_NAMED, _MOST_NUMBERED = 12, 100
"""Largest number of classes with names on the map, and with numbers on the map and names in the legend."""
_WIDTH, _TITLE, _LINE, _LEGEND_COLUMNS = 7.5, 0.5, 0.19, 4
"""In inches, except for the columns."""
_NAME_WIDTH_PT, _TAG_PT = 72, 9


def draw_map(embedding_map: EmbeddingMap) -> Figure:
    """Draw the map: colour and shape of a dot encode its label, a cross marks a wrong prediction.

    Names are left out for more than 100 classes.
    """
    labels, positions = embedding_map.labels.numpy(), embedding_map.positions.numpy()
    is_wrong = (embedding_map.predictions != embedding_map.labels).numpy()
    present = np.unique(labels)
    rows = math.ceil((min(len(present), _MOST_NUMBERED) + 1) / _LEGEND_COLUMNS)
    height = _TITLE + _WIDTH + _LINE * (rows + 1)
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.005, _LINE * (rows + 0.8) / height, 0.99, _WIDTH * 0.99 / height))
    _frame(axes, positions)
    size = float(np.clip(40_000 / len(labels), 4, 40))
    for label in present:
        (colour, shape), (x, y) = _style_of(int(label)), positions[labels == label].T
        axes.scatter(x, y, s=size, c=colour, marker=shape, linewidths=0, alpha=0.65, rasterized=True)
    x, y = positions[is_wrong].T
    axes.scatter(x, y, s=size * 2.5, c="black", marker="x", linewidths=0.7, rasterized=True, zorder=3)
    names = [fit_name(embedding_map.classes[label], _NAME_WIDTH_PT) for label in present]
    if len(present) > _MOST_NUMBERED:
        present, names = present[:0], []
    tags = names if len(names) <= _MOST_NAMED else [str(label) for label in present]
    _write_tags(axes, positions, labels, present, tags)
    entries = names if tags is names else [f"{label} {name}" for label, name in zip(present, names, strict=True)]
    _write_legend(figure, present, [*entries, f"{int(is_wrong.sum()):,} predicted wrong"])
    title = wrap_text(_title(embedding_map), _WIDTH * 72 - 20, 9)
    figure.text(0.01, 1 - 0.08 / height, title, va="top", fontsize=9, parse_math=False)
    return figure


def describe_map(embedding_map: EmbeddingMap) -> str:
    """Describe the map in words: number of images, quality of the map, and the two nearest classes."""
    n, wrong = len(embedding_map.labels), int((embedding_map.predictions != embedding_map.labels).sum())
    labels, positions = embedding_map.labels.numpy(), embedding_map.positions.numpy()
    present = np.unique(labels)
    description = f"{_title(embedding_map)}. {wrong:,} of {n:,} are predicted wrong and crossed."
    if len(present) > 1:
        medians = _find_medians(positions, labels, present)
        apart = np.linalg.norm(medians[:, None] - medians[None], axis=2)
        apart[np.diag_indices(len(present))] = np.inf
        nearest = np.unravel_index(apart.argmin(), apart.shape)
        first, second = (embed_name(embedding_map.classes[present[number]]) for number in nearest)
        description += f" The classes that lie nearest to each other are {first} and {second}."
    return description


def _title(embedding_map: EmbeddingMap) -> str:
    n = len(embedding_map.labels)
    part = "" if n == embedding_map.n_split else f" of {embedding_map.n_split:,}"
    return (
        f"{n:,}{part} images of the {embedding_map.split} split by t-SNE of the input of the last layer: perplexity "
        f"{embedding_map.perplexity:.3g}, divergence {embedding_map.kl_divergence:.2f} nats, trustworthiness "
        f"{embedding_map.trustworthiness:.3f}; neighbourhoods are meaningful, distances are not"
    )


def _style_of(label: int) -> tuple[str, str]:
    """Return colour and shape of a class: both differ between successive classes; 80 combinations are unique."""
    return CATEGORIES[label % len(CATEGORIES)], _SHAPES[(label + label // len(CATEGORIES)) % len(_SHAPES)]


def _frame(axes: Axes, positions: NDArray[np.float32]) -> None:
    """Show a square around all positions, with the same scale on both axes."""
    low, high = positions.min(0), positions.max(0)
    middle, reach = (low + high) / 2, max(float((high - low).max()), 1e-6) * 0.53
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set(xticks=[], yticks=[])


def _find_medians(
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
    """Write the tag of each class over its median position; overlapping tags are moved apart."""
    (left, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    units_per_point = (right - left) / (_WIDTH * 0.99 * 72)
    sizes = np.array([(measure_text(tag, _TAG_PT, weight="bold") + 3, 1.4 * _TAG_PT) for tag in tags]).reshape(-1, 2)
    corner = np.array((left, bottom))
    centers = _move_apart((_find_medians(positions, labels, present) - corner) / units_per_point, sizes)
    for (x, y), tag in zip(centers * units_per_point + corner, tags, strict=True):
        text = axes.text(x, y, tag, ha="center", va="center", fontsize=_TAG_PT, weight="bold", zorder=5)
        set_plain([text])
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _move_apart(medians: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 500) -> NDArray[np.float64]:
    """Move boxes within the panel apart, each pair along the axis of the smaller overlap, until none overlap.

    Centers and sizes are in points, from the corner of the panel.
    """
    centers = medians.copy()
    side = _WIDTH * 0.99 * 72
    # Boxes at the same position move apart in the order of the classes.
    order = np.sign(np.arange(len(centers))[:, None] - np.arange(len(centers))[None])
    for _ in range(rounds):
        between = centers[:, None] - centers[None]
        overlap = (sizes[:, None] + sizes[None]) / 2 - np.abs(between)
        is_touching = (overlap > 0).all(2) & (order != 0)
        if not is_touching.any():
            break
        direction = np.where(between == 0, order[:, :, None], np.sign(between))
        is_least = np.stack([overlap[:, :, 0] < overlap[:, :, 1], overlap[:, :, 0] >= overlap[:, :, 1]], 2)
        centers += ((overlap * 0.35 + 0.2) * direction * is_least * is_touching[:, :, None]).sum(1)
        centers = np.clip(centers, sizes / 2, side - sizes / 2)
    return centers


def _write_legend(figure: Figure, present: NDArray[np.int64], entries: list[str]) -> None:
    styles = [*(_style_of(int(label)) for label in present), ("black", "x")]
    handles = [Line2D([], [], color=colour, marker=shape, ls="none", ms=6) for colour, shape in styles]
    # Texts are set afterwards: matplotlib leaves out labels that begin with an underscore.
    legend = figure.legend(
        handles, map(str, range(len(handles))), loc="lower left", frameon=False, ncols=_LEGEND_COLUMNS, fontsize=8
    )
    set_plain(legend.get_texts())
    for text, entry in zip(legend.get_texts(), entries, strict=True):
        text.set_text(entry)
