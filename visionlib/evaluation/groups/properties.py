"""`measure_properties`: the measurable properties of every image: light, colour, sharpness, background, object."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from visionlib.data import ImageSplit

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
COLOURS = (*HUES, "black", "grey", "white")
UNKNOWN = -1
_LUMA = torch.tensor([0.299, 0.587, 0.114])
"""Weights of red, green and blue: ITU-R BT.601."""
_LEAST_CHROMA = 0.15
"""Difference between the channels, of 1, below which a colour has no hue."""
_DARK, _LIGHT = 0.25, 0.75
_BORDER_FRACTION = 16
"""The border is a side's sixteenth wide."""
_VALUES_AT_ONCE = 2**22
_LEAST_STD = 1e-3
"""A quarter of a grey level: below it an image is constant, and has no edges to be sharp."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number for every image.

    Attributes:
        name: of the property.
        low: word for images with small values; empty if these are not worth a word.
        high: word for images with large values.
        values: NaN where it is not known.
    """

    name: str
    low: str
    high: str
    values: Float64[Tensor, "n"]


@dataclass(frozen=True, eq=False)
class Category:
    """One of several names for every image.

    Attributes:
        name: of the property.
        wording: of an image with it, with `{}` for the name.
        names: that occur.
        values: positions in `names`; -1 where it is not known.
    """

    name: str
    wording: str
    names: tuple[str, ...]
    values: Int64[Tensor, "n"]


Property = Quantity | Category


def measure_properties(split: ImageSplit) -> tuple[Property, ...]:
    """Measure the properties that a split's pixels, masks and files tell; pixels are fractions of 255.

    - brightness: mean of the luma; contrast: its std.
    - sharpness: root mean square of the luma's Laplacian divided by the contrast, so that an image of low contrast is
      not blurred by that; 0 for a constant image.
    - saturation: mean difference between the largest and the smallest channel; and for each of six hues the fraction of
      the pixels that have it. Both for colour images.
    - background: the colour of the mean of the border, a side's sixteenth wide.
    - with masks: the object's fraction of the pixels, its mean colour, and the distance between that and the mean
      colour of the other pixels.
    - of encoded pictures: the shorter side and the ratio of width and height before resizing, and the file's mode.
    """
    at_once = max(1, _VALUES_AT_ONCE // math.prod(split.images.shape[1:]))
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, max(1, len(split)), at_once):
        images = split.images[start : start + at_once].cpu().float() / 255
        measured = _measure_pixels(images)
        if split.masks is not None:
            measured |= _measure_objects(images, split.masks[start : start + at_once].cpu())
        for name, values in measured.items():
            parts.setdefault(name, []).append(values)
    return _name_properties({name: torch.cat(values).double() for name, values in parts.items()}, split)


def _measure_pixels(images: Float32[Tensor, "n c h w"]) -> dict[str, Tensor]:
    luma = _weigh_luma(images)
    contrast = (luma - luma.mean((1, 2), keepdim=True)).square().mean((1, 2)).sqrt()  # std warns of no images
    measured = {"brightness": luma.mean((1, 2)), "contrast": contrast}
    if min(luma.shape[1:]) > 2:
        inner = luma[:, 1:-1, 1:-1]
        laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:] - 4 * inner
        edges = laplacian.square().mean((1, 2)).sqrt()
        measured["sharpness"] = torch.where(contrast > _LEAST_STD, edges / contrast.clamp(min=_LEAST_STD), 0.0)
    if images.shape[1] == 3:
        chroma = images.amax(1) - images.amin(1)
        measured["saturation"] = chroma.mean((1, 2))
        colours = _name_colours(images)
        for number, hue in enumerate(HUES):
            measured[hue] = (colours == number).float().mean((1, 2))
    measured["background"] = _name_colours(_average_border(images)[:, :, None, None]).flatten()
    return measured


def _measure_objects(images: Float32[Tensor, "n c h w"], masks: Bool[Tensor, "n h w"]) -> dict[str, Tensor]:
    inside = masks[:, None].float()
    area, others = inside.sum((2, 3)), (1 - inside).sum((2, 3))
    colour = (images * inside).sum((2, 3)) / area  # NaN for an image without an object
    around = (images * (1 - inside)).sum((2, 3)) / others
    names = _name_colours(colour.nan_to_num()[:, :, None, None]).flatten()
    return {
        "object size": torch.where(area[:, 0] > 0, area[:, 0] / (area + others)[:, 0], torch.nan),
        "object contrast": (colour - around).norm(dim=1),
        "object colour": torch.where(area[:, 0] > 0, names, UNKNOWN),
    }


def _weigh_luma(images: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n h w"]:
    return images[:, 0] if images.shape[1] == 1 else (images * _LUMA[:, None, None]).sum(1)


def _average_border(images: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n c"]:
    height, width = images.shape[2:]
    rows, columns = max(1, height // _BORDER_FRACTION), max(1, width // _BORDER_FRACTION)
    is_border = torch.ones(height, width)
    is_border[rows : height - rows, columns : width - columns] = 0
    return (images * is_border).sum((2, 3)) / is_border.sum()


def _name_colours(images: Float32[Tensor, "n c h w"]) -> Int64[Tensor, "n h w"]:
    """Name the colour of each pixel, as a position in `COLOURS`: the nearest of six hues, or black, grey or white."""
    luma = _weigh_luma(images)
    greys = torch.where(luma < _DARK, 6, torch.where(luma > _LIGHT, 8, 7))
    if images.shape[1] == 1:
        return greys
    largest, position = images.max(1)
    chroma = largest - images.amin(1)
    red, green, blue = images.unbind(1)
    # The hue in sixths of the circle: between -1 and 1 around red, and so on.
    differences = torch.stack([green - blue, blue - red, red - green])
    around = differences.gather(0, position[None])[0] / chroma.clamp(min=1e-6) + 2 * position
    hues = around.round().long() % 6
    return torch.where(chroma < _LEAST_CHROMA, greys, hues)


_WORDS = {
    "brightness": ("dark", "bright"),
    "contrast": ("low contrast", "high contrast"),
    "sharpness": ("blurred", "sharp"),
    "saturation": ("pale", "colourful"),
    "object size": ("small object", "large object"),
    "object contrast": ("faint object", "distinct object"),
}
_CATEGORIES = {"background": "{} background", "object colour": "{} object"}


def _name_properties(measured: dict[str, Float64[Tensor, "n"]], split: ImageSplit) -> tuple[Property, ...]:
    properties: list[Property] = []
    for name, values in measured.items():
        if name in _CATEGORIES:
            properties.append(Category(name, _CATEGORIES[name], COLOURS, values.long()))
        elif name in HUES:
            properties.append(Quantity(f"{name} pixels", "", f"much {name}", values))
        else:
            properties.append(Quantity(name, *_WORDS[name], values))
    if split.originals is not None:
        sizes, modes = split.originals.sizes.double(), split.originals.modes
        names = tuple(sorted(set(modes)))
        values = torch.tensor([names.index(mode) for mode in modes], dtype=torch.int64)
        properties += [
            Quantity("original size", "small original", "large original", sizes.amin(1)),
            Quantity("original shape", "tall original", "wide original", sizes[:, 1] / sizes[:, 0]),
            Category("file mode", "file mode {}", names, values),
        ]
    return tuple(properties)
