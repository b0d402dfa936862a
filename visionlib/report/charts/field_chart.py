"""The receptive fields of a network's layers around its image."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from visionlib.report.charts.svg import element, picture, text
from visionlib.summary import ModelSummary

_SIDE, _MARGIN = 330, 20
_MOST = 8


def draw_fields(summary: ModelSummary) -> Markup | None:
    """Draw the image as a filled rectangle, and around its center the receptive fields of some layers.

    Returns:
        None if no layer has a receptive field of two sides.
    """
    fields: dict[tuple[int, int], str] = {}
    for layer in summary.layers:
        field = layer.receptive_field
        if field is not None and len(field) == 2 and layer.macs and not layer.is_global:
            fields.setdefault((field[0], field[1]), layer.name)
    input_size = summary.input_size
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
    center = _MARGIN + _SIDE / 2
    yield _rectangle(center, (input_size[1], input_size[2]), scale, "image-area")
    for number, ((height, width), _) in enumerate(chosen):
        yield _rectangle(center, (height, width), scale, f"field field-{number % 4}")
    left = _SIDE + 3 * _MARGIN
    yield text(left, 34, f"image: {input_size[1]} x {input_size[2]} px", class_="axis-title")
    for row, ((height, width), name) in enumerate(chosen):
        yield text(left, 58 + 18 * row, f"{name}: {height} x {width} px")


def _rectangle(center: float, size: tuple[int, int], scale: float, kind: str) -> Markup:
    height, width = (side * scale for side in size)
    return element("rect", class_=kind, x=center - width / 2, y=center - height / 2, width=width, height=height)
