"""The receptive fields of a network's layers around its image."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from visionlib.data.class_names import tidy_name
from visionlib.report.charts.svg import element, picture
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
    side = _SIDE + 2 * _MARGIN
    drawn = picture(side, side, title, _draw(chosen, input_size, _SIDE / largest))
    return drawn + _write_legend(chosen, input_size)


def _draw(chosen: Sequence[tuple[tuple[int, int], str]], input_size: Sequence[int], scale: float) -> Iterator[Markup]:
    center = _MARGIN + _SIDE / 2
    yield _rectangle(center, (input_size[1], input_size[2]), scale, "image-area")
    for number, ((height, width), _) in enumerate(chosen):
        yield _rectangle(center, (height, width), scale, f"field field-{number % 4}")


def _write_legend(chosen: Sequence[tuple[tuple[int, int], str]], input_size: Sequence[int]) -> Markup:
    """List the rectangles as text beside the picture, where it stays legible on a narrow screen."""
    keys = [("image-area", "the image", (input_size[1], input_size[2]))]
    keys += [(f"key field-{number % 4}", tidy_name(name), field) for number, (field, name) in enumerate(chosen)]
    entries = (
        element("li", picture(28, 14, name, [_draw_key(kind)], class_="swatch") + f"{name}: {height} x {width} px")
        for kind, name, (height, width) in keys
    )
    return element("ul", Markup("").join(entries), class_="legend")


def _draw_key(kind: str) -> Markup:
    return element("rect", class_=kind, x=2, y=2, width=24, height=10)


def _rectangle(center: float, size: tuple[int, int], scale: float, kind: str) -> Markup:
    height, width = (side * scale for side in size)
    return element("rect", class_=kind, x=center - width / 2, y=center - height / 2, width=width, height=height)
