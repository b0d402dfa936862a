"""Images in rows, each with a caption below it, pixel for pixel.

`draw_images` shows images of one size. `draw_grid` shows tiles of any sizes, in groups, with boxes over them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from visionlib.drawing.palette import MAP_COLORMAP
from visionlib.drawing.pixel_canvas import PixelCanvas
from visionlib.errors import ConfigError

_WIDEST_PX, _NARROWEST_PX = 900, 560
_LARGE_PX, _SMALL_PX = 140, 96
"""Smallest side of a cell in `draw_images`, and the side of a cell in `draw_grid`."""
_GAP_PX, _LINE_PX, _HEADING_PX = 8, 16, 20
_HEADING_PT, _TITLE_PT = 9.0, 10.0
_MOST_IMAGES = 1000
DrawnBox = tuple[float, float, float, float, bool]
"""First column, first row, last column and last row in pixels of the image, and whether the box is dashed."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a grid.

    Attributes:
        pixels: RGB.
        caption: lines below the image, shortened to its width.
        boxes: drawn over the image.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    caption: Sequence[str]
    boxes: tuple[DrawnBox, ...] = ()


def draw_images(
    images: UInt8[Tensor, "n c h w"],
    captions: Sequence[str],
    *,
    title: str = "",
    headings: Mapping[int, str] | None = None,
    columns: int = 6,
) -> Figure:
    """Draw images of one size, enlarged by a whole number, with a caption under each.

    Saved at the figure's own resolution, a pixel of an image is a square of whole pixels of the picture.

    Args:
        images: stored pixels, never normalized ones; one or three channels.
        captions: one per image, of one or more lines.
        title: wrapped.
        headings: by the position of the first image below each.
        columns: images per row; fewer if they exceed a width of 900 pixels.
    Raises:
        ConfigError: if there are more than 1,000 images, no column, or not one caption for each image.
        TypeError: if the images are not uint8.
        ValueError: if they have neither one nor three channels.
    """
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
    longest = max(images.shape[2:])
    cell_px = max(_LARGE_PX, longest * max(1, round(_LARGE_PX / longest)))
    tiles = [Tile(image_pixels(image), text.split("\n")) for image, text in zip(images, captions, strict=True)]
    headings = headings or {}
    starts = sorted({0, *headings})
    ends = [*starts[1:], len(tiles)]
    groups = [(headings.get(start, ""), tiles[start:end]) for start, end in zip(starts, ends, strict=True)]
    return _draw(groups, title if tiles or title else "No images.", columns, cell_px, caption_pt=7.5)


def draw_grid(groups: Sequence[tuple[str, Sequence[Tile]]], *, title: str) -> Figure:
    """Draw groups of tiles below each other, eight in a row, each tile in a square of the same size.

    Args:
        groups: heading, which may be empty, and tiles.
        title: wrapped.
    """
    return _draw(groups, title, 8, _SMALL_PX, caption_pt=7.0)


def color_map(values: Float32[Tensor, "h w"], low: float, high: float) -> UInt8[np.ndarray, "h w 3"]:
    """Colour a map from dark (`low`) to bright (`high`); uniformly grey unless `high` is above `low`."""
    if not high > low:
        return np.full((*values.shape, 3), 190, dtype=np.uint8)
    fractions = ((values.to("cpu").double() - low) / (high - low)).clamp(0, 1).numpy()
    coloured: NDArray[np.float64] = mpl.colormaps[MAP_COLORMAP](fractions)
    return np.rint(255 * coloured[..., :3]).astype(np.uint8)


def image_pixels(image: UInt8[Tensor, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Convert an image to RGB pixels for matplotlib; a grayscale image gets three equal channels.

    Raises:
        ValueError: if it has neither one nor three channels.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"an image has one or three channels: this has {image.shape[0]}")
    return np.ascontiguousarray(image.cpu().expand(3, -1, -1).permute(1, 2, 0).numpy())


def _draw(
    groups: Sequence[tuple[str, Sequence[Tile]]], title: str, columns: int, cell_px: int, *, caption_pt: float
) -> Figure:
    pitch = cell_px + _GAP_PX
    columns = max(1, min(columns, (_WIDEST_PX - _GAP_PX) // pitch))
    canvas = PixelCanvas(max(columns * pitch + _GAP_PX, _NARROWEST_PX))
    width_px = canvas.width_px - 2 * _GAP_PX
    lines = canvas.write_wrapped(_GAP_PX, _GAP_PX / 2, title, _TITLE_PT, width_px=width_px)
    upper = 2.0 * _GAP_PX + _HEADING_PX * lines
    for heading, tiles in groups:
        if heading:
            canvas.write(_GAP_PX, upper, heading, _HEADING_PT, width_px=width_px, weight="bold")
            upper += _HEADING_PX + 2
        for start in range(0, len(tiles), columns):
            row = tiles[start : start + columns]
            scales = [_fit(tile, cell_px) for tile in row]
            lower = upper + max(scale * len(tile.pixels) for scale, tile in zip(scales, row, strict=True))
            for column, (scale, tile) in enumerate(zip(scales, row, strict=True)):
                left = _GAP_PX + column * pitch
                canvas.show(tile.pixels, left, upper, scale)
                for x0, y0, x1, y1, is_dashed in tile.boxes:
                    size = (scale * (x1 - x0 + 1), scale * (y1 - y0 + 1))
                    canvas.frame(left + scale * x0, upper + scale * y0, *size, is_dashed=is_dashed)
                for number, line in enumerate(tile.caption, 1):
                    baseline = lower + number * _LINE_PX - 1
                    canvas.write(left, baseline, line, caption_pt, width_px=cell_px, va="baseline")
            upper = lower + _LINE_PX * max(len(tile.caption) for tile in row) + 4 + _GAP_PX
        upper += _GAP_PX // 2
    return canvas.finish(upper)


def _fit(tile: Tile, cell_px: int) -> float:
    """Scale of a tile within its cell: a whole number where it fits, so that all pixels are equally large."""
    longest: int = max(tile.pixels.shape[:2])
    return cell_px // longest if longest <= cell_px else cell_px / longest
