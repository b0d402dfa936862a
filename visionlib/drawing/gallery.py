"""`draw_images`: many small images in one picture, each with a caption, pixel for pixel."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.lettering import DOTS_PER_INCH, fit_text, font_families, wrap_text
from visionlib.errors import ConfigError

_WIDEST_PX = 900
_CELL_PX = 140
_GAP_PX = 8
_LINE_PX = 16
_TITLE_LINE_PX = 20
_CAPTION_PT, _HEADING_PT, _TITLE_PT = 7.5, 9.0, 10.0
_MOST_IMAGES = 1000


def draw_images(
    images: UInt8[Tensor, "n c h w"],
    captions: Sequence[str],
    *,
    title: str = "",
    headings: Mapping[int, str] | None = None,
    columns: int = 6,
) -> Figure:
    """Draw images in rows, enlarged by a whole number to their nearest neighbour, with a caption under each.

    Every line of writing is shortened to its place. Saved at the figure's own resolution, a pixel of an image is a
    square of whole pixels of the picture.

    Args:
        images: pixels as they are, never normalised ones; one or three channels.
        captions: one for each, of one line or several.
        title: stands above all; wrapped.
        headings: stand above rows of their own: the number of an image, and what is said above it.
        columns: images in a row, fewer where they are too large for a picture of 900 pixels.
    Raises:
        ConfigError: if there are more than 1,000 images, no column, or not one caption for each image.
        TypeError: if the images are not uint8.
        ValueError: if they have neither one nor three channels.
    """
    _check(images, captions, columns)
    height, width = images.shape[2:]
    scale = max(1, round(_CELL_PX / max(height, width)))
    pitch = max(scale * width, _CELL_PX) + _GAP_PX
    columns = max(1, min(columns, (_WIDEST_PX - _GAP_PX) // pitch))
    lines = [caption.split("\n") for caption in captions]
    caption_px = _LINE_PX * max(map(len, lines), default=0) + 4
    picture_width = max(columns * pitch + _GAP_PX, 4 * _CELL_PX)
    told = title if len(images) or title else "No images."
    written = wrap_text(told, _points(picture_width - 2 * _GAP_PX), _TITLE_PT)
    top = 2 * _GAP_PX + _TITLE_LINE_PX * len(written.splitlines())
    starts = sorted({0, *(headings or {}), len(images)})

    figure = Figure(dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    _write(axes, _GAP_PX, _GAP_PX / 2, written, _TITLE_PT)
    for first, end in itertools.pairwise(starts):
        if heading := (headings or {}).get(first):
            fitted = fit_text(heading, _points(picture_width - 2 * _GAP_PX), _HEADING_PT, weight="bold")
            _write(axes, _GAP_PX, top, fitted, _HEADING_PT, weight="bold")
            top += _TITLE_LINE_PX + 2
        for number in range(first, end):
            row, column = divmod(number - first, columns)
            left = _GAP_PX + column * pitch
            upper = top + row * (scale * height + caption_px + _GAP_PX)
            _show(axes, images[number], left, upper, scale)
            for place, line in enumerate(lines[number]):
                fitted = fit_text(line, _points(pitch - _GAP_PX), _CAPTION_PT)
                _write(
                    axes, left, upper + scale * height + (place + 1) * _LINE_PX - 1, fitted, _CAPTION_PT, va="baseline"
                )
        top += math.ceil((end - first) / columns) * (scale * height + caption_px + _GAP_PX) + _GAP_PX // 2
    figure.set_size_inches(picture_width / DOTS_PER_INCH, top / DOTS_PER_INCH)
    # One unit is one pixel of the picture. Set at the end: showing an image moves the limits.
    axes.set(xlim=(0, picture_width), ylim=(top, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def _check(images: UInt8[Tensor, "n c h w"], captions: Sequence[str], columns: int) -> None:
    if len(images) > _MOST_IMAGES:
        raise ConfigError("images", f"{len(images):,} are too many for a picture", f"draw at most {_MOST_IMAGES:,}")
    if len(captions) != len(images):
        raise ConfigError("captions", f"there are {len(captions)} for {len(images)} images", "give one for each")
    if columns < 1:
        raise ConfigError("columns", f"{columns} is out of range", "it must be at least 1")
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, as stored: these are {images.dtype}")
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images must have one or three channels: these have {images.shape[1]}")


def _show(axes: Axes, image: UInt8[Tensor, "c h w"], left: float, upper: float, scale: int) -> None:
    pixels = np.ascontiguousarray(image.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy())
    height, width = pixels.shape[:2]
    # "none" draws like "nearest", and leaves an SVG the pixels as they are.
    axes.imshow(pixels, extent=(left, left + scale * width, upper + scale * height, upper), interpolation="none")


def _write(
    axes: Axes,
    left: float,
    upper: float,
    text: str,
    size: float,
    *,
    weight: str = "normal",
    va: Literal["top", "baseline"] = "top",
) -> None:
    axes.text(left, upper, text, fontsize=size, weight=weight, family=list(font_families()), va=va, parse_math=False)


def _points(width_px: float) -> float:
    return width_px / DOTS_PER_INCH * 72
