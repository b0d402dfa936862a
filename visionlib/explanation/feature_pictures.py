"""A picture of an image's feature maps."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.tiles import Tile, colour_map, draw_tiles, show_image
from visionlib.explanation.feature_maps import FeatureMaps
from visionlib.explanation.map_layers import check_channels

MOST_SHOWN = 47


def draw_feature_maps(
    found: FeatureMaps,
    image: UInt8[Tensor, "c h w"],
    *,
    place: int = 0,
    channels: Sequence[int] | None = None,
    scale: Literal["own", "common"] = "own",
    title: str = "",
) -> Figure:
    """Draw an image and the maps of its strongest channels, each position a square, with the largest value below.

    Args:
        found: the maps.
        image: its pixels as stored.
        place: which of the images that the maps are of.
        channels: to show, in this order; by default the 47 with the largest values, the largest first.
        scale: colour each map from its own least value to its own largest, or all from the least to the largest.
        title: stands before the description.
    Raises:
        ConfigError: if a channel is out of range.
    """
    shown = _choose(found, place, channels)
    maps = found.maps[place][list(shown)]
    low, high = (float(maps.min()), float(maps.max())) if len(maps) else (0.0, 0.0)
    tiles = [Tile(show_image(image), ("the image",))]
    for channel, values in zip(shown, maps, strict=True):
        least, most = float(values.min()), float(values.max()) + 0.0  # no "-0" in a caption
        pixels = colour_map(values, *((least, most) if scale == "own" else (low, high)))
        if least == most:
            # On the common scale a constant map has a colour of its own; on its own scale there is none to have.
            tiles.append(Tile(pixels, (f"{channel}: constant {most:.3g}",)))
        else:
            tiles.append(Tile(pixels, (f"{channel}: {most:.3g}",)))
    told = describe_feature_maps(found, place=place, channels=channels)
    colours = (
        "each map from its least value to its largest" if scale == "own" else f"all maps from {low:.3g} to {high:.3g}"
    )
    prefix = f"{title}: " if title else ""
    return draw_tiles(
        [("", tiles)], title=f"{prefix}{told} From dark to bright: {colours}. Below: channel and largest value."
    )


def describe_feature_maps(found: FeatureMaps, *, place: int = 0, channels: Sequence[int] | None = None) -> str:
    """Say in words what `draw_feature_maps` shows."""
    shown = _choose(found, place, channels)
    rows, columns = found.layer.resolution
    which = "" if channels is not None or len(shown) == found.layer.channels else ", those with the largest values"
    told = f"{len(shown)} of {found.layer.channels} feature maps of {found.layer.name}, {rows} x {columns} positions"
    constant = int(found.is_constant[place].sum())
    nothing = f" {constant} of all are constant: these channels see nothing here." if constant else ""
    return f"{told}{which}.{nothing}"


def _choose(found: FeatureMaps, place: int, channels: Sequence[int] | None) -> tuple[int, ...]:
    if channels is not None:
        return check_channels(found.layer, channels)
    return found.rank_channels(place)[:MOST_SHOWN]
