"""A picture of a dataset: for each class how many images there are, their mean, and examples."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from visionlib.drawing.class_names import embed_name
from visionlib.drawing.lettering import DOTS_PER_INCH, fit_text, font_families, wrap_text
from visionlib.errors import ConfigError
from visionlib.inspection.dataset_inspection import DatasetInspection
from visionlib.inspection.examples import NONE

_WIDTH_PX, _GAP_PX = 900, 6
_MOST_CLASSES = 100
_FEW_CLASSES = 20
"""Up to this many classes stand one below the other, more in two columns."""
_TITLE_PT, _TITLE_LINE_PX = 10.0, 19
_HEAD_PT, _HEAD_LINE_PX = 6.5, 14
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
"""Of Okabe and Ito's, for the splits; they stand in a fixed order, too."""
_BAR_PX = 4


@dataclass(frozen=True)
class _Layout:
    """Where things are, in pixels of the picture."""

    columns: int
    examples: int
    scale: int
    cell: tuple[int, int]
    row_px: int
    head_px: int
    top_px: int

    @property
    def block_px(self) -> int:
        return (_WIDTH_PX - _GAP_PX) // self.columns

    @property
    def is_small(self) -> bool:
        return self.columns > 1

    @property
    def name_px(self) -> int:
        return 127 if self.is_small else 146


def draw_overview(inspection: DatasetInspection, images: UInt8[Tensor, "n c h w"]) -> Figure:
    """Draw a row per class: its name, how many images each split has of it, their mean, and examples.

    Images are enlarged by a whole number, a pixel to a square. More than 20 classes stand in two columns; of more than
    100 the picture shows 100, evenly spread over their order. As many of the examples are drawn as have room.

    Args:
        inspection: of the dataset.
        images: pixels of the split that the examples are of.
    Raises:
        ConfigError: if the images are not those of the split that was inspected.
    """
    shown = inspection.splits[inspection.shown]
    if len(images) != shown.n or tuple(images.shape[2:]) != shown.image_size:
        raise ConfigError("images", f"are {len(images):,} for {shown.n:,}", f"give those of {inspection.shown}")
    classes = _choose_classes(len(inspection.classes))
    title = wrap_text(_tell_title(inspection), _points(_WIDTH_PX - 2 * _GAP_PX), _TITLE_PT)
    layout = _lay_out(inspection, len(classes), title_lines=len(title.splitlines()))
    rows = math.ceil(len(classes) / layout.columns)
    height_px = layout.top_px + rows * layout.row_px + _GAP_PX
    figure = Figure(figsize=(_WIDTH_PX / DOTS_PER_INCH, height_px / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    _write(axes, _GAP_PX, _GAP_PX, title, _TITLE_PT)
    _head(axes, inspection, layout)
    sheet = np.full((height_px, _WIDTH_PX, 3), 255, dtype=np.uint8)
    for place, label in enumerate(classes):
        column, row = divmod(place, rows)
        corner = (_GAP_PX + column * layout.block_px, layout.top_px + row * layout.row_px)
        _tell_class(axes, inspection, label, layout, corner)
        _paste_class(sheet, inspection, label, images, layout, corner)
    # "none" draws like "nearest", and leaves an SVG the pixels as they are.
    axes.imshow(sheet, extent=(0, _WIDTH_PX, height_px, 0), interpolation="none", zorder=0)
    axes.set(xlim=(0, _WIDTH_PX), ylim=(height_px, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def describe_overview(inspection: DatasetInspection) -> str:
    """Say in a few sentences what the picture shows."""
    counts = inspection.splits[inspection.shown].counts
    least, most = int(counts.min()), int(counts.max())
    if least == most:
        balance = f"every class has {most:,} images"
    else:
        fewest, commonest = (embed_name(inspection.classes[int(at)]) for at in (counts.argmin(), counts.argmax()))
        balance = f"classes have from {least:,} ({fewest}) to {most:,} ({commonest}) images"
    figures = " ".join(f"{_tell_split(inspection, name)}." for name in inspection.splits)
    return f"{_tell_title(inspection)} {figures} In {embed_name(inspection.shown)} {balance}."


def _tell_title(inspection: DatasetInspection) -> str:
    k = len(inspection.classes)
    drawn = f"{k:,} classes" if k <= _MOST_CLASSES else f"{_MOST_CLASSES} of {k:,} classes, evenly spread"
    return (
        f"{embed_name(inspection.dataset)}: {drawn}. For each the number of images in every split, their mean in "
        f"{embed_name(inspection.shown)}, and examples, chosen by seed {inspection.seed}."
    )


def _tell_split(inspection: DatasetInspection, name: str) -> str:
    statistics = inspection.splits[name]
    mean, std = (" ".join(f"{value:.3f}" for value in values) for values in (statistics.mean, statistics.std))
    height, width = statistics.image_size
    return f"{embed_name(name)}: {statistics.n:,} images of {width} x {height}, mean {mean}, deviation {std}"


def _choose_classes(k: int) -> list[int]:
    if k <= _MOST_CLASSES:
        return list(range(k))
    return [place * k // _MOST_CLASSES for place in range(_MOST_CLASSES)]


def _lay_out(inspection: DatasetInspection, k: int, *, title_lines: int) -> _Layout:
    height, width = inspection.splits[inspection.shown].image_size
    wanted = inspection.examples.shape[1]
    head_px = 2 * _GAP_PX + _TITLE_LINE_PX * title_lines
    bars_px = _BAR_PX * len(inspection.splits)

    def build(columns: int) -> _Layout:
        is_small = k > _FEW_CLASSES
        scale = max(1, round((36 if is_small else 64) / max(height, width)))
        cell = (scale * height, scale * width)
        layout = _Layout(
            columns=columns,
            examples=0,
            scale=scale,
            cell=cell,
            row_px=max(cell[0], (25 if columns > 1 else 31) + bars_px) + _GAP_PX,
            head_px=head_px,
            top_px=head_px + _HEAD_LINE_PX * (len(inspection.splits) + 1) + 2 * _GAP_PX,
        )
        free = layout.block_px - layout.name_px - cell[1] - 2 * _GAP_PX
        return replace(layout, examples=max(0, min(wanted, free // (cell[1] + _GAP_PX // 2))))

    layout = build(2 if k > _FEW_CLASSES else 1)
    return layout if layout.examples >= min(2, wanted) else build(1)


def _head(axes: Axes, inspection: DatasetInspection, layout: _Layout) -> None:
    """Write a line per split, with the colour of its bars, and below them what stands in the columns."""
    upper = layout.head_px
    for place, name in enumerate(inspection.splits):
        axes.add_patch(Rectangle((_GAP_PX, upper + 2), 8, 8, color=_COLOURS[place % len(_COLOURS)], lw=0))
        told = fit_text(_tell_split(inspection, name), _points(_WIDTH_PX - 3 * _GAP_PX - 12), _HEAD_PT)
        _write(axes, _GAP_PX + 12, upper, told, _HEAD_PT)
        upper += _HEAD_LINE_PX
    upper += _GAP_PX // 2
    for column in range(layout.columns):
        start = _GAP_PX + column * layout.block_px + layout.name_px
        _write(axes, start, upper, fit_text("mean", _points(layout.cell[1] + _GAP_PX), _HEAD_PT), _HEAD_PT)
        if layout.examples:
            left = _example_left(layout, start, 0)
            room = layout.examples * (layout.cell[1] + _GAP_PX // 2)
            _write(axes, left, upper, fit_text("examples", _points(room), _HEAD_PT), _HEAD_PT)


def _tell_class(
    axes: Axes, inspection: DatasetInspection, label: int, layout: _Layout, corner: tuple[int, int]
) -> None:
    """Write the name of a class, and below it how many images each split has of it, with bars."""
    left, top = corner
    width = layout.name_px - 2 * _GAP_PX
    name_pt, count_pt, line_px = (6.5, 5.5, 13) if layout.is_small else (8.0, 6.5, 16)
    _write(axes, left, top - 2, fit_text(embed_name(inspection.classes[label]), _points(width), name_pt), name_pt)
    counts = [int(statistics.counts[label]) for statistics in inspection.splits.values()]
    told = fit_text("  ".join(f"{count:,}" for count in counts), _points(width), count_pt)
    _write(axes, left, top + line_px - 2, told, count_pt)
    most = max(int(statistics.counts.max()) for statistics in inspection.splits.values())
    bars = top + (25 if layout.is_small else 31)
    for place, count in enumerate(counts):
        axes.add_patch(
            Rectangle(
                (left, bars + place * _BAR_PX),
                width * count / max(1, most),
                _BAR_PX - 1,
                color=_COLOURS[place % len(_COLOURS)],
                lw=0,
            )
        )
    if not int(inspection.splits[inspection.shown].counts[label]):
        told = fit_text(
            f"no image in {embed_name(inspection.shown)}", _points(layout.block_px - layout.name_px), count_pt
        )
        _write(axes, left + layout.name_px, top, told, count_pt)


def _paste_class(
    sheet: np.ndarray,
    inspection: DatasetInspection,
    label: int,
    images: UInt8[Tensor, "n c h w"],
    layout: _Layout,
    corner: tuple[int, int],
) -> None:
    """Put the mean image of a class and its examples in their places."""
    shown = inspection.splits[inspection.shown]
    if not int(shown.counts[label]):
        return
    left, top = corner[0] + layout.name_px, corner[1]
    _paste(sheet, shown.class_means[label].round().to(torch.uint8), (left, top), layout.scale)
    chosen = [at for at in inspection.examples[label].tolist() if at != NONE][: layout.examples]
    for number, at in enumerate(chosen):
        _paste(sheet, images[at].cpu(), (_example_left(layout, left, number), top), layout.scale)


def _example_left(layout: _Layout, mean_left: int, number: int) -> int:
    return mean_left + layout.cell[1] + _GAP_PX + _GAP_PX // 2 + number * (layout.cell[1] + _GAP_PX // 2)


def _paste(sheet: np.ndarray, image: UInt8[Tensor, "c h w"], corner: tuple[int, int], scale: int) -> None:
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
    left, top = corner
    sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels


def _write(axes: Axes, left: float, upper: float, text: str, size: float) -> None:
    axes.text(left, upper, text, fontsize=size, family=list(font_families()), va="top", parse_math=False)


def _points(width_px: float) -> float:
    return width_px / DOTS_PER_INCH * 72
