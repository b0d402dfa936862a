"""Explanations: each image, and beside it its maps over the stored pixels."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from visionlib.data.class_names import CAPTION_PATH_LENGTH, embed_name, tidy_path
from visionlib.data.sources import name_sources
from visionlib.drawing.image_grid import draw_images
from visionlib.drawing.lettering import format_probability
from visionlib.errors import ConfigError
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.overlay import enlarge, overlay_maps

_MOST_COLUMNS = 6


def draw_explanations(explanations: Sequence[Explanation], *, is_smooth: bool = False, opacity: float = 0.6) -> Figure:
    """Draw each image, and beside it its map by each explanation.

    Args:
        explanations: of the same images, by different methods or for different targets.
        is_smooth: interpolate the maps instead of showing their cells.
        opacity: of the maps over the images.
    Raises:
        ConfigError: if there are none, or they are of different images.
    """
    if not explanations:
        raise ConfigError("explanations", "there are none to draw", "give at least one")
    first = explanations[0]
    if any(not torch.equal(one.index, first.index) for one in explanations):
        raise ConfigError("explanations", "are of different images", "draw those of the same images")
    shown = [enlarge(first.images)]
    shown += [overlay_maps(one.images, one.scaled, is_smooth=is_smooth, opacity=opacity) for one in explanations]
    is_named = len({one.method for one in explanations}) > 1
    captions = [
        caption
        for number in range(len(first))
        for caption in (_caption_image(first, number), *(_caption_map(one, number, is_named) for one in explanations))
    ]
    panels = torch.stack(shown, 1).flatten(0, 1) if len(first) else shown[0]
    group = len(shown)
    columns = group * max(1, _MOST_COLUMNS // group)
    return draw_images(panels, captions, title=describe_explanations(explanations), columns=columns)


def describe_explanations(explanations: Sequence[Explanation]) -> str:
    """Describe the picture in words."""
    parts = []
    for one in explanations:
        height, width = one.resolution
        where = f" of {', '.join(one.layers)}" if one.layers else " on the input"
        parts.append(f"{one.method}{where}, {height} x {width} cells, for the {_name_target(one.target)}")
    constant = sum(int(one.is_constant.sum()) for one in explanations)
    note = f" {constant} maps are constant: they say nothing." if constant else ""
    return f"Where the network finds a class: {'; '.join(parts)}. Yellow speaks most for it, violet least.{note}"


def _name_target(target: str) -> str:
    return f"{target} class" if target in ("predicted", "true") else f"class {embed_name(target)}"


def _caption_image(one: Explanation, number: int) -> str:
    label = "" if one.labels is None else f"\nis {embed_name(one.class_names[int(one.labels[number])])}"
    (source,) = name_sources(one.sources, one.index[number])
    file = "" if source is None else f"\n{tidy_path(source, CAPTION_PATH_LENGTH)}"
    return f"image {int(one.index[number])}{label}{file}"


def _caption_map(one: Explanation, number: int, is_named: bool) -> str:
    name = embed_name(one.class_names[int(one.classes[number])])
    height, width = one.resolution
    kind = "constant: says nothing" if bool(one.is_constant[number]) else f"{height} x {width} cells"
    if is_named:
        kind = f"{one.method}, {'constant' if bool(one.is_constant[number]) else f'{height} x {width}'}"
    return f"{name} {format_probability(float(one.probabilities[number]))}\n{kind}"
