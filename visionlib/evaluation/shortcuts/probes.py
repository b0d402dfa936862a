"""`measure_probes`: a few numbers for each image, by property, from which the class is predicted."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.evaluation.groups.properties import HUES, measure_properties

REGIONS = (
    *("top left corner", "top right corner", "bottom left corner", "bottom right corner"),
    *("top edge", "bottom edge", "left edge", "right edge", "border"),
)
"""Properties that lie at a place of the image."""
_SMALL_CORNER, _LARGE_CORNER = 16, 8
"""A corner is measured on squares of these parts of the sides."""
_BORDER = 16
_VALUES_AT_ONCE = 2**22
_SCALARS = ("brightness", "contrast", "sharpness", "saturation")


@dataclass(frozen=True, eq=False)
class Probe:
    """The numbers of one property.

    Attributes:
        name: of the property.
        values: for each image.
    """

    name: str
    values: Float64[Tensor, "n d"]


def measure_probes(split: ImageSplit) -> tuple[Probe, ...]:
    """Measure the properties from which a class could be told without its object; pixels are fractions of 255.

    - brightness, contrast, sharpness, saturation: as `measure_properties` defines them.
    - colour: mean of each channel; hues: fraction of the pixels of each of six hues. Both for colour images.
    - corners: mean of each channel and std of the pixels in a square of a sixteenth of the sides, and of an eighth.
    - edges: the same of the outermost row or column; border: of all pixels within a sixteenth of the sides.
    - of encoded pictures: image size, which is height, width and their ratio before resizing; file mode.

    A property that is the same for all images is left out.
    """
    known = {entry.name: entry.values.double() for entry in measure_properties(split)}
    parts = {name: known[name][:, None] for name in _SCALARS if name in known}
    if split.channels == 3:
        parts["hues"] = torch.stack([known[f"{hue} pixels"] for hue in HUES], 1)
    parts |= _measure_places(split.images)
    if split.originals is not None:
        sizes, modes = split.originals.sizes.double(), split.originals.modes
        parts["image size"] = torch.cat([sizes, (sizes[:, 1] / sizes[:, 0])[:, None]], 1)
        parts["file mode"] = torch.stack(
            [torch.tensor([mode == name for mode in modes]).double() for name in sorted(set(modes))], 1
        )
    return tuple(Probe(name, values) for name, values in parts.items() if bool((values != values[:1]).any()))


def mark_region(name: str, height: int, width: int, part: int) -> Bool[Tensor, "h w"]:
    """Mark the pixels of a corner, an edge or the border.

    Args:
        name: one of `REGIONS`.
        height: of the image, in pixels.
        width: likewise.
        part: the region is the sides' length divided by this, at least one pixel.
    """
    rows, columns = max(1, height // part), max(1, width // part)
    is_near = {
        "top": (torch.arange(height) < rows)[:, None],
        "bottom": (torch.arange(height) >= height - rows)[:, None],
        "left": (torch.arange(width) < columns)[None, :],
        "right": (torch.arange(width) >= width - columns)[None, :],
    }
    words = [is_near[word] for word in name.split() if word in is_near]
    marked = torch.ones(height, width, dtype=torch.bool)
    if words:
        for word in words:
            marked = marked & word
        return marked
    return marked & (is_near["top"] | is_near["bottom"] | is_near["left"] | is_near["right"])


def _measure_places(images: UInt8[Tensor, "n c h w"]) -> dict[str, Float64[Tensor, "n d"]]:
    height, width = images.shape[2:]
    masks: dict[str, list[Tensor]] = {}
    for name in REGIONS:
        sides = {"corner": (_SMALL_CORNER, _LARGE_CORNER), "edge": (max(height, width),)}
        kind = name.split()[-1]
        masks[name] = [mark_region(name, height, width, part) for part in sides.get(kind, (_BORDER,))]
    found: dict[str, list[Tensor]] = {}
    at_once = max(1, _VALUES_AT_ONCE // math.prod(images.shape[1:]))
    for some in torch.split(images, at_once):
        pixels = some.cpu().float() / 255
        if pixels.shape[1] == 3:
            found.setdefault("colour", []).append(pixels.mean((2, 3)))
        for name, regions in masks.items():
            found.setdefault(name, []).append(torch.cat([_describe(pixels[:, :, region]) for region in regions], 1))
    return {name: torch.cat(values).double() for name, values in found.items()}


def _describe(pixels: Float32[Tensor, "n c p"]) -> Float32[Tensor, "n d"]:
    """Return the mean of each channel, and the root mean square distance of the pixels from it."""
    mean = pixels.mean(2)
    return torch.cat([mean, (pixels - mean[:, :, None]).square().mean((1, 2)).sqrt()[:, None]], 1)
