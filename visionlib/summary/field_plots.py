"""Plots of receptive fields: layer by layer over an image, effective fields, and a residual block with its shapes."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from visionlib.drawing.palette import SEQUENTIAL_COLORMAP
from visionlib.errors import ModelError
from visionlib.summary.effective import EffectiveField
from visionlib.summary.record import LayerSummary, ModelSummary

_MOST_BOXES = 7


def draw_growth(summary: ModelSummary, image: UInt8[Tensor, "c h w"] | None = None) -> Figure:
    """Draw the receptive field of the middle position for several layers over an image.

    Args:
        summary: the exact table.
        image: of the table's input size; a gray square by default.
    Raises:
        ModelError: if no layer has a local field.
    """
    rows = _choose(summary)
    if not rows:
        raise ModelError(summary.model, "has no layer with a local receptive field", "draw another network")
    height, width = summary.input_size[1:]
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    _show_image(axes, image, height, width)
    colors = mpl.colormaps[SEQUENTIAL_COLORMAP](np.linspace(0.1, 0.95, len(rows)))
    for row, color in zip(rows, colors, strict=True):
        rows_px, columns_px = row.receptive_field or (0, 0)
        corner = ((width - columns_px) / 2 - 0.5, (height - rows_px) / 2 - 0.5)
        label = f"{row.name}: {rows_px} x {columns_px}"
        box = Rectangle(corner, columns_px, rows_px, fill=False, edgecolor=color, linewidth=2, label=label)
        box.set_path_effects([withStroke(linewidth=4, foreground="white")])  # visible on any image
        axes.add_patch(box)
    largest = max(max(row.receptive_field or (0,)) for row in rows)
    half_side = max(largest, height, width) * 0.54
    axes.set_xlim(width / 2 - 0.5 - half_side, width / 2 - 0.5 + half_side)
    axes.set_ylim(height / 2 - 0.5 + half_side, height / 2 - 0.5 - half_side)
    axes.set_xlabel("column of the image, in pixels")
    axes.set_ylabel("row of the image, in pixels")
    axes.set_title(f"Receptive fields of {summary.model} by layer")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def draw_effective(fields: Sequence[tuple[str, EffectiveField]], image: UInt8[Tensor, "c h w"] | None = None) -> Figure:
    """Draw effective fields side by side, each over the image with the box of its theoretical field.

    Args:
        fields: title and field of each panel, such as before and after training.
        image: shown beneath; a gray square by default.
    """
    figure = Figure(figsize=(3.9 * len(fields) + 0.6, 4.6), layout="constrained")
    panels = figure.subplots(1, len(fields), squeeze=False)[0]
    for axes, (title, field) in zip(panels, fields, strict=True):
        height, width = field.strength.shape
        _show_image(axes, image, height, width)
        strength = field.strength.numpy()
        # Opacity grows with the strength, so that the image shows where the layer does not look.
        axes.imshow(strength, cmap="inferno", alpha=0.9 * np.sqrt(strength / strength.max()))
        (top, bottom), (left, right) = field.box
        axes.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),
                right - left + 1,
                bottom - top + 1,
                fill=False,
                ec="white",
                lw=2,
                ls="--",
                clip_on=False,
            )
        )
        middle = ((left + right) / 2, (top + bottom) / 2)
        for fraction in (0.5, 0.95):
            side = field.sides[fraction]
            corner = (middle[0] - side / 2, middle[1] - side / 2)
            axes.add_patch(Rectangle(corner, side, side, fill=False, ec="cyan", lw=1.5))
            label_position = (max(corner[0], -0.3), max(corner[1], 1.2))
            label = axes.annotate(f"{fraction:.0%}", label_position, color="cyan", fontsize=9, va="bottom")
            label.set_path_effects([withStroke(linewidth=2, foreground="black")])
        rows, columns = field.std
        axes.set_title(f"{title}\n{field.layer}, std {rows:.1f} x {columns:.1f} px", fontsize=10)
        axes.set_xlim(-1, width)
        axes.set_ylim(height, -1)
    figure.suptitle(
        f"Gradient of the middle unit, mean of {fields[0][1].n:,} images; dashed: its receptive field", fontsize=10
    )
    return figure


def draw_block(summary: ModelSummary, block: str) -> Figure:
    """Draw a residual block: output shape and receptive field along its main path and its shortcut.

    Args:
        summary: the exact table.
        block: name of the block, such as `layer2.0`; modules with `shortcut` or `downsample` in their name form its
            shortcut.
    Raises:
        ModelError: if there is no such block, or it is empty.
    """
    inside = [row for row in summary.layers if row.name.startswith(f"{block}.") and row.output_shape]
    if not inside:
        raise ModelError(block, "is no block of this model", "name one of its layers that has others inside")
    outer = next(row for row in summary.layers if row.name == block)
    parts = [row for row in inside if not any(other.name.startswith(f"{row.name}.") for other in inside)]
    is_shortcut = ["shortcut" in row.name or "downsample" in row.name for row in parts]
    main = [row for row, beside in zip(parts, is_shortcut, strict=True) if not beside]
    shortcut = [row for row, beside in zip(parts, is_shortcut, strict=True) if beside and row.macs]
    last, main = main[-1], main[:-1]
    height = len(main) + 4
    figure = Figure(figsize=(7.2, 0.66 * height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, 10)
    axes.set_ylim(1.5 - height, 0.5)
    axes.set_axis_off()
    _box(axes, 3, 0, "input")
    for position, row in enumerate(main, 1):
        _box(axes, 3, -position, _describe(row, block))
        _arrow(axes, (3, -position + 0.7), (3, -position + 0.3))
    join = -(len(main) + 1)
    _arrow(axes, (3, join + 0.7), (3, join + 0.25))
    axes.text(3, join, "+", ha="center", va="center", fontsize=18)
    for number, row in enumerate(shortcut):
        _box(axes, 7.8, join / 2 + 0.5 - number, _describe(row, block))
    axes.plot([4.9, 7.8, 7.8], [0, 0, join / 2 + 0.8 if shortcut else join], color="0.3", lw=1.2)
    axes.plot([7.8, 7.8], [join / 2 + 0.2 - len(shortcut) + 1 if shortcut else join, join], color="0.3", lw=1.2)
    _arrow(axes, (7.8, join), (3.3, join))
    if not shortcut:
        axes.text(7.9, join / 2, "identity", fontsize=9)
    _arrow(axes, (3, join - 0.25), (3, join - 0.7))
    _box(axes, 3, join - 1, _describe(last, block))
    axes.set_title(f"{block} of {summary.model}: {outer.type}", loc="left")
    return figure


def _choose(summary: ModelSummary) -> list[LayerSummary]:
    """Choose layers with different fields, evenly spaced from the smallest to the largest."""
    by_size: dict[tuple[int, ...], LayerSummary] = {}
    for row in summary.layers:
        if (
            row.name
            and row.receptive_field is not None
            and not row.is_global
            and row.macs
            and len(row.receptive_field) == 2
        ):
            by_size.setdefault(row.receptive_field, row)
    rows = sorted(by_size.values(), key=lambda row: row.receptive_field or ())
    if len(rows) <= _MOST_BOXES:
        return rows
    return [rows[round(index)] for index in np.linspace(0, len(rows) - 1, _MOST_BOXES)]


def _show_image(axes: Axes, image: UInt8[Tensor, "c h w"] | None, height: int, width: int) -> None:
    if image is None:
        axes.add_patch(Rectangle((-0.5, -0.5), width, height, color="0.85"))
    else:
        pixels = image.permute(1, 2, 0).cpu().numpy()
        axes.imshow(pixels if pixels.shape[2] == 3 else pixels[:, :, 0], cmap="gray", interpolation="nearest")
    axes.set_aspect("equal")


def _describe(row: LayerSummary, block: str) -> str:
    shape = " x ".join(map(str, (row.output_shape or ())[1:]))
    field = " x ".join(map(str, row.receptive_field or ()))
    return f"{row.name.removeprefix(f'{block}.')} ({row.type})\n{shape}, sees {field}"


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    axes.add_patch(
        FancyBboxPatch((x - 1.9, y - 0.3), 3.8, 0.6, boxstyle="round,pad=0.02", facecolor="#eef3fa", edgecolor="0.3")
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "0.3"})
