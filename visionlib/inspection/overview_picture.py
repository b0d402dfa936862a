"""A dataset class by class: the number of images, their mean, and examples."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.image_grid import image_pixels
from visionlib.drawing.palette import CATEGORIES
from visionlib.drawing.pixel_canvas import PixelCanvas
from visionlib.errors import ConfigError
from visionlib.inspection.dataset_inspection import DatasetInspection
from visionlib.inspection.examples import NONE

_WIDTH_PX, _GAP_PX = 900, 6
_MOST_CLASSES = 100
_FEW_CLASSES = 20
"""Largest number of classes in one column; more are drawn in two."""
_TITLE_PT, _TITLE_LINE_PX = 10.0, 19
_HEAD_PT, _HEAD_LINE_PX = 6.5, 14
_BAR_PX = 4


@dataclass(frozen=True)
class _Layout:
    """Positions in pixels of the picture; `cell` is height and width of an enlarged image."""

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
    """Draw a row per class: its name, the number of its images in each split, their mean, and examples.

    Images are enlarged by a whole number. More than 20 classes are drawn in two columns; of more than 100, 100 are
    drawn, evenly spread over their order. Examples that do not fit are left out.

    Args:
        inspection: of the dataset.
        images: stored pixels of the inspected split.
    Raises:
        ConfigError: if the images are not those of the split that was inspected.
    """
    shown = inspection.splits[inspection.shown]
    if len(images) != shown.n or tuple(images.shape[2:]) != shown.image_size:
        raise ConfigError("images", f"are {len(images):,} for {shown.n:,}", f"give those of {inspection.shown}")
    k = len(inspection.classes)
    drawn = min(k, _MOST_CLASSES)
    classes = [number * k // drawn for number in range(drawn)]
    canvas = PixelCanvas(_WIDTH_PX)
    title_lines = canvas.write_wrapped(
        _GAP_PX, _GAP_PX, _title(inspection), _TITLE_PT, width_px=_WIDTH_PX - 2 * _GAP_PX
    )
    layout = _lay_out(inspection, len(classes), title_lines=title_lines)
    rows = math.ceil(len(classes) / layout.columns)
    height_px = layout.top_px + rows * layout.row_px + _GAP_PX
    _draw_head(canvas, inspection, layout)
    # All images on one sheet: drawing hundreds one by one would take seconds.
    sheet = np.full((height_px, _WIDTH_PX, 3), 255, dtype=np.uint8)
    for number, label in enumerate(classes):
        column, row = divmod(number, rows)
        corner = (_GAP_PX + column * layout.block_px, layout.top_px + row * layout.row_px)
        _draw_class(canvas, inspection, label, layout, corner)
        _paste_class(sheet, inspection, label, images, layout, corner)
    canvas.show(sheet, 0, 0)
    return canvas.finish(height_px)


def describe_overview(inspection: DatasetInspection) -> str:
    """Describe the picture in a few sentences."""
    counts = inspection.splits[inspection.shown].counts
    least, most = int(counts.min()), int(counts.max())
    if least == most:
        balance = f"every class has {most:,} images"
    else:
        fewest, commonest = (embed_name(inspection.classes[int(at)]) for at in (counts.argmin(), counts.argmax()))
        balance = f"classes have from {least:,} ({fewest}) to {most:,} ({commonest}) images"
    splits = " ".join(f"{_describe_split(inspection, name)}." for name in inspection.splits)
    return f"{_title(inspection)} {splits} In {embed_name(inspection.shown)} {balance}."


def _title(inspection: DatasetInspection) -> str:
    k = len(inspection.classes)
    classes = f"{k:,} classes" if k <= _MOST_CLASSES else f"{_MOST_CLASSES} of {k:,} classes, evenly spread"
    return (
        f"{embed_name(inspection.dataset)}: {classes}. For each the number of images in every split, their mean in "
        f"{embed_name(inspection.shown)}, and examples, chosen by seed {inspection.seed}."
    )


def _describe_split(inspection: DatasetInspection, name: str) -> str:
    statistics = inspection.splits[name]
    mean, std = (" ".join(f"{value:.3f}" for value in values) for values in (statistics.mean, statistics.std))
    height, width = statistics.image_size
    return f"{embed_name(name)}: {statistics.n:,} images of {width} x {height}, mean {mean}, std {std}"


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


def _draw_head(canvas: PixelCanvas, inspection: DatasetInspection, layout: _Layout) -> None:
    """Write a line per split, with the colour of its bars, and below them the headings of the columns."""
    upper = layout.head_px
    for number, name in enumerate(inspection.splits):
        canvas.fill(_GAP_PX, upper + 2, 8, 8, _split_colour(number))
        line = _describe_split(inspection, name)
        canvas.write(_GAP_PX + 12, upper, line, _HEAD_PT, width_px=_WIDTH_PX - 3 * _GAP_PX - 12)
        upper += _HEAD_LINE_PX
    upper += _GAP_PX // 2
    for column in range(layout.columns):
        start = _GAP_PX + column * layout.block_px + layout.name_px
        canvas.write(start, upper, "mean", _HEAD_PT, width_px=layout.cell[1] + _GAP_PX)
        if layout.examples:
            left = _example_left(layout, start, 0)
            width_px = layout.examples * (layout.cell[1] + _GAP_PX // 2)
            canvas.write(left, upper, "examples", _HEAD_PT, width_px=width_px)


def _draw_class(
    canvas: PixelCanvas, inspection: DatasetInspection, label: int, layout: _Layout, corner: tuple[int, int]
) -> None:
    """Write the name of a class, and below it the number of its images in each split, with bars."""
    left, top = corner
    width = layout.name_px - 2 * _GAP_PX
    name_pt, count_pt, line_px = (6.5, 5.5, 13) if layout.is_small else (8.0, 6.5, 16)
    canvas.write(left, top - 2, embed_name(inspection.classes[label]), name_pt, width_px=width)
    counts = [int(statistics.counts[label]) for statistics in inspection.splits.values()]
    line = "  ".join(f"{count:,}" for count in counts)
    canvas.write(left, top + line_px - 2, line, count_pt, width_px=width)
    most = max(int(statistics.counts.max()) for statistics in inspection.splits.values())
    bars = top + (25 if layout.is_small else 31)
    for number, count in enumerate(counts):
        canvas.fill(left, bars + number * _BAR_PX, width * count / max(1, most), _BAR_PX - 1, _split_colour(number))
    if not int(inspection.splits[inspection.shown].counts[label]):
        note = f"no image in {embed_name(inspection.shown)}"
        canvas.write(left + layout.name_px, top, note, count_pt, width_px=layout.block_px - layout.name_px)


def _paste_class(
    sheet: np.ndarray,
    inspection: DatasetInspection,
    label: int,
    images: UInt8[Tensor, "n c h w"],
    layout: _Layout,
    corner: tuple[int, int],
) -> None:
    """Copy the mean image of a class and its examples into the sheet."""
    shown = inspection.splits[inspection.shown]
    if not int(shown.counts[label]):
        return
    left, top = corner[0] + layout.name_px, corner[1]
    _paste(sheet, shown.class_means[label].round().to(torch.uint8), (left, top), layout.scale)
    chosen = [at for at in inspection.examples[label].tolist() if at != NONE][: layout.examples]
    for number, at in enumerate(chosen):
        _paste(sheet, images[at], (_example_left(layout, left, number), top), layout.scale)


def _example_left(layout: _Layout, mean_left: int, number: int) -> int:
    return mean_left + layout.cell[1] + _GAP_PX + _GAP_PX // 2 + number * (layout.cell[1] + _GAP_PX // 2)


def _paste(sheet: np.ndarray, image: UInt8[Tensor, "c h w"], corner: tuple[int, int], scale: int) -> None:
    pixels = image_pixels(image).repeat(scale, 0).repeat(scale, 1)
    left, top = corner
    sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels


def _split_colour(number: int) -> str:
    return CATEGORIES[number % 4]
