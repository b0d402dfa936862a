"""The feature maps of an image."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.image_grid import Tile, color_map, draw_grid, image_pixels
from visionlib.explanation.feature_maps import FeatureMaps
from visionlib.explanation.map_layers import check_channels

MOST_SHOWN = 47


def draw_feature_maps(
    features: FeatureMaps,
    image: UInt8[Tensor, "c h w"],
    *,
    position: int = 0,
    channels: Sequence[int] | None = None,
    scale: Literal["own", "common"] = "own",
    title: str = "",
) -> Figure:
    """Draw an image and the maps of its strongest channels, with the largest value below each.

    Args:
        features: of one image or several.
        image: its stored pixels.
        position: of the image among the images of `features`.
        channels: to show, in this order; by default the 47 with the largest values, the largest first.
        scale: colour each map from its own minimum to its own maximum, or all maps by their common range.
        title: prefix of the description.
    Raises:
        ConfigError: if a channel is out of range.
    """
    shown = _choose(features, position, channels)
    maps = features.maps[position][list(shown)]
    low, high = (float(maps.min()), float(maps.max())) if len(maps) else (0.0, 0.0)
    tiles = [Tile(image_pixels(image), ("the image",))]
    for channel, values in zip(shown, maps, strict=True):
        least, most = float(values.min()), float(values.max()) + 0.0  # no "-0" in a caption
        pixels = color_map(values, *((least, most) if scale == "own" else (low, high)))
        tiles.append(Tile(pixels, (f"{channel}: {'constant ' if least == most else ''}{most:.3g}",)))
    description = describe_feature_maps(features, position=position, channels=channels)
    colours = (
        "each map from its least value to its largest" if scale == "own" else f"all maps from {low:.3g} to {high:.3g}"
    )
    prefix = f"{title}: " if title else ""
    return draw_grid(
        [("", tiles)], title=f"{prefix}{description} From dark to bright: {colours}. Below: channel and largest value."
    )


def describe_feature_maps(features: FeatureMaps, *, position: int = 0, channels: Sequence[int] | None = None) -> str:
    """Describe the picture in words."""
    shown = _choose(features, position, channels)
    rows, columns = features.layer.resolution
    order = "" if channels is not None or len(shown) == features.layer.channels else ", those with the largest values"
    described = (
        f"{len(shown)} of {features.layer.channels} feature maps of {features.layer.name}, {rows} x {columns} positions"
    )
    constant = int(features.is_constant[position].sum())
    note = f" {constant} of all are constant: these channels see nothing here." if constant else ""
    return f"{described}{order}.{note}"


def _choose(features: FeatureMaps, position: int, channels: Sequence[int] | None) -> tuple[int, ...]:
    if channels is not None:
        return check_channels(features.layer, channels)
    return features.rank_channels(position)[:MOST_SHOWN]
