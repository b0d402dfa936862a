"""The receptive fields of a network's layers around its image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from visionlib.report.charts.svg import element, picture, text

_SIDE, _MARGIN = 330, 20
_MOST = 8


def draw_fields(layers: Sequence[Mapping[str, Any]], input_size: Sequence[int]) -> Markup | None:
    """Draw the image as a filled rectangle, and around its middle what a position of some convolutions sees.

    Args:
        layers: rows of `summary.json`.
        input_size: channels, height and width of the image.
    Returns:
        None if no layer has a field of two sides.
    """
    fields: dict[tuple[int, int], str] = {}
    for layer in layers:
        field = layer["receptive_field"]
        if isinstance(field, list) and len(field) == 2 and layer["macs"]:
            fields.setdefault((field[0], field[1]), layer["name"])
    if not fields or len(input_size) != 3:
        return None
    chosen = list(fields.items())
    step = max(1, -(-len(chosen) // _MOST))
    chosen = chosen[::-1][::step][::-1]
    largest = max(max(max(field) for field, _ in chosen), *input_size[1:])
    title = f"Receptive fields of {len(chosen)} layers around an image of {input_size[1]} x {input_size[2]} pixels"
    height = max(_SIDE, 34 + 18 * len(chosen)) + 2 * _MARGIN
    return picture(640, height, title, _draw(chosen, input_size, _SIDE / largest))


def _draw(chosen: Sequence[tuple[tuple[int, int], str]], input_size: Sequence[int], scale: float) -> Iterator[Markup]:
    middle = _MARGIN + _SIDE / 2
    yield _rectangle(middle, (input_size[1], input_size[2]), scale, "image-area")
    for place, ((height, width), _) in enumerate(chosen):
        yield _rectangle(middle, (height, width), scale, f"field field-{place % 4}")
    left = _SIDE + 3 * _MARGIN
    yield text(left, 34, f"image: {input_size[1]} x {input_size[2]} px", class_="axis-title")
    for place, ((height, width), name) in enumerate(chosen):
        yield text(left, 58 + 18 * place, f"{name}: {height} x {width} px")


def _rectangle(middle: float, size: tuple[int, int], scale: float, kind: str) -> Markup:
    height, width = (side * scale for side in size)
    return element("rect", class_=kind, x=middle - width / 2, y=middle - height / 2, width=width, height=height)
