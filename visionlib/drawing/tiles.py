"""Many small pictures side by side, each in a square of the same size with a caption, whatever their resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from visionlib.drawing.lettering import DOTS_PER_INCH, fit_text, font_families, wrap_text

_SIDE_PX = 96
_GAP_PX = 10
_LINE_PX = 15
_HEADING_PX = 22
_CAPTION_PT, _HEADING_PT, _TITLE_PT = 7.0, 9.0, 10.0
_MAP_COLOURS = "viridis"
DrawnBox = tuple[float, float, float, float, bool]
"""Left, top, right and bottom in pixels of a picture, edges included, and whether it is dashed."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One small picture.

    Attributes:
        pixels: red, green and blue.
        caption: lines below it; shortened to its width, and never read as mathematics.
        boxes: drawn over it.
    """

    pixels: UInt8[NDArray[np.uint8], "h w 3"]
    caption: tuple[str, ...]
    boxes: tuple[DrawnBox, ...] = ()


def draw_tiles(groups: Sequence[tuple[str, Sequence[Tile]]], *, title: str, columns: int = 8) -> Figure:
    """Draw groups of tiles below each other, each with a heading unless it is empty.

    Pixels are enlarged to squares and never smoothed.

    Args:
        groups: heading and tiles.
        title: stands above all, wrapped.
        columns: tiles in a row.
    """
    widest = max([min(columns, len(tiles)) for _, tiles in groups] + [4])
    pitch = _SIDE_PX + _GAP_PX
    width = widest * pitch + _GAP_PX
    written = wrap_text(title, _points(width - 2 * _GAP_PX), _TITLE_PT)
    figure = Figure(dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    _write(axes, _GAP_PX, _GAP_PX / 2, written, _TITLE_PT)
    top = 2.0 * _GAP_PX + _HEADING_PX * len(written.splitlines())
    for heading, tiles in groups:
        if heading:
            fitted = fit_text(heading, _points(width - 2 * _GAP_PX), _HEADING_PT, weight="bold")
            _write(axes, _GAP_PX, top, fitted, _HEADING_PT, weight="bold")
            top += _HEADING_PX
        for row in _rows(tiles, columns):
            for column, tile in enumerate(row):
                _draw(axes, tile, _GAP_PX + column * pitch, top)
            top += _SIDE_PX + _LINE_PX * max(len(tile.caption) for tile in row) + _GAP_PX
    figure.set_size_inches(width / DOTS_PER_INCH, top / DOTS_PER_INCH)
    # One unit is one pixel of the figure. Set at the end: showing an image moves the limits.
    axes.set(xlim=(0, width), ylim=(top, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def colour_map(values: Float32[Tensor, "h w"], low: float, high: float) -> UInt8[NDArray[np.uint8], "h w 3"]:
    """Colour a map from dark (`low`) to bright (`high`); grey all over where there is nothing in between."""
    if not high > low:
        return np.full((*values.shape, 3), 190, dtype=np.uint8)
    shares = ((values.to("cpu").double() - low) / (high - low)).clamp(0, 1).numpy()
    coloured: NDArray[np.float64] = mpl.colormaps[_MAP_COLOURS](shares)
    return np.rint(255 * coloured[..., :3]).astype(np.uint8)


def show_image(image: UInt8[Tensor, "c h w"]) -> UInt8[NDArray[np.uint8], "h w 3"]:
    """Give an image's pixels as they are, grey ones in three channels.

    Raises:
        ValueError: if it has neither one nor three channels.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"an image has one or three channels: this has {image.shape[0]}")
    return np.ascontiguousarray(image.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy())


def _draw(axes: Axes, tile: Tile, left: float, top: float) -> None:
    height, width = tile.pixels.shape[:2]
    longest = max(height, width)
    # By a whole number where it fits, so that all pixels are equally large.
    scale = _SIDE_PX // longest if longest <= _SIDE_PX else _SIDE_PX / longest
    right, bottom = left + scale * width, top + scale * height
    # "none" draws like "nearest", and leaves an SVG the pixels as they are.
    kind = "none" if scale >= 1 else "antialiased"
    axes.imshow(tile.pixels, extent=(left, right, bottom, top), interpolation=kind)
    for first_x, first_y, last_x, last_y, is_dashed in tile.boxes:
        corner = (left + scale * first_x, top + scale * first_y)
        size = (scale * (last_x - first_x + 1), scale * (last_y - first_y + 1))
        box = Rectangle(corner, *size, fill=False, ec="white", lw=1.1, ls=(0, (2, 1.5)) if is_dashed else "-")
        box.set_path_effects([withStroke(linewidth=2.6, foreground="black")])
        axes.add_patch(box)
    for place, line in enumerate(tile.caption):
        fitted = fit_text(line, _points(_SIDE_PX + _GAP_PX - 4), _CAPTION_PT)
        _write(axes, left, top + _SIDE_PX + (place + 1) * _LINE_PX - 1, fitted, _CAPTION_PT, va="baseline")


def _rows(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def _write(
    axes: Axes,
    left: float,
    top: float,
    text: str,
    size: float,
    *,
    weight: str = "normal",
    va: Literal["top", "baseline"] = "top",
) -> None:
    axes.text(left, top, text, fontsize=size, weight=weight, family=list(font_families()), va=va, parse_math=False)


def _points(width_px: float) -> float:
    return width_px / DOTS_PER_INCH * 72
