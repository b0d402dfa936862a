"""`PixelCanvas`: a figure whose unit is one pixel of the saved picture, for images that must stay sharp."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from visionlib.drawing.lettering import DOTS_PER_INCH, fit_text, font_families, wrap_text


class PixelCanvas:
    """A figure of fixed width that grows downwards; positions are pixels from the upper left corner."""

    def __init__(self, width_px: int) -> None:
        self.width_px = width_px
        self._figure = Figure(dpi=DOTS_PER_INCH)
        self._axes = self._figure.add_axes((0, 0, 1, 1))

    def write(
        self,
        left: float,
        upper: float,
        text: str,
        size: float,
        *,
        width_px: float,
        weight: Literal["normal", "bold"] = "normal",
        va: Literal["top", "baseline"] = "top",
    ) -> None:
        """Write one line, shortened to a width."""
        self._write(left, upper, fit_text(text, width_px * 72 / DOTS_PER_INCH, size, weight=weight), size, weight, va)

    def write_wrapped(self, left: float, upper: float, text: str, size: float, *, width_px: float) -> int:
        """Write a text wrapped to a width, and return the number of lines."""
        wrapped = wrap_text(text, width_px * 72 / DOTS_PER_INCH, size)
        self._write(left, upper, wrapped, size, "normal", "top")
        return len(wrapped.splitlines())

    def show(self, pixels: UInt8[np.ndarray, "h w 3"], left: float, upper: float, scale: float = 1) -> None:
        """Draw an image; enlarged pixels are squares, and only shrunk images are smoothed."""
        height, width = pixels.shape[:2]
        # "none" draws like "nearest", and leaves an SVG the pixels as they are.
        interpolation = "none" if scale >= 1 else "antialiased"
        extent = (left, left + scale * width, upper + scale * height, upper)
        self._axes.imshow(pixels, extent=extent, interpolation=interpolation, zorder=0)

    def fill(self, left: float, upper: float, width: float, height: float, colour: str) -> None:
        """Draw a filled rectangle."""
        self._axes.add_patch(Rectangle((left, upper), width, height, color=colour, lw=0))

    def frame(self, left: float, upper: float, width: float, height: float, *, is_dashed: bool) -> None:
        """Draw a white box with a black border, which is visible on any image."""
        style = (0, (2, 1.5)) if is_dashed else "-"
        box = Rectangle((left, upper), width, height, fill=False, ec="white", lw=1.1, ls=style)
        box.set_path_effects([withStroke(linewidth=2.6, foreground="black")])
        self._axes.add_patch(box)

    def finish(self, height_px: float) -> Figure:
        """Set the height, and return the figure."""
        self._figure.set_size_inches(self.width_px / DOTS_PER_INCH, height_px / DOTS_PER_INCH)
        # Showing an image moves the limits, so they are set last.
        self._axes.set(xlim=(0, self.width_px), ylim=(height_px, 0), aspect="auto")
        self._axes.set_axis_off()
        return self._figure

    def _write(
        self, left: float, upper: float, text: str, size: float, weight: str, va: Literal["top", "baseline"]
    ) -> None:
        family = list(font_families())
        self._axes.text(left, upper, text, fontsize=size, weight=weight, family=family, va=va, parse_math=False)
