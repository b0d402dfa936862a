"""`extract_feature_maps`: what the channels of a layer make of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError
from visionlib.explanation.map_layers import MapLayer, check_channels, find_map_layer, size_of_inputs, visit_layer

_MOST_BYTES = 2**31


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """What a layer puts out for images.

    Attributes:
        layer: the layer.
        maps: a map of positions per image and channel, at the layer's own resolution, in the network's own units.
    """

    layer: MapLayer
    maps: Float32[Tensor, "n k h w"]

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def peaks(self) -> Float32[Tensor, "n k"]:
        """The largest value of each map."""
        return self.maps.amax((2, 3))

    @property
    def is_constant(self) -> Bool[Tensor, "n k"]:
        """Whether a map has the same value everywhere: the channel sees nothing there."""
        return self.peaks == self.maps.amin((2, 3))

    def rank_channels(self, place: int = 0) -> tuple[int, ...]:
        """Order the channels by their largest value on an image, constant ones at the end."""
        peaks = self.peaks[place].masked_fill(self.is_constant[place], -torch.inf)
        return tuple(peaks.argsort(descending=True, stable=True).tolist())

    def to_dict(self, place: int = 0, channels: Sequence[int] | None = None) -> dict[str, Any]:
        """Give the figures of an image's maps for JSON, without the maps: all channels, or those that are named.

        Raises:
            ConfigError: if a channel is out of range.
        """
        chosen = self.rank_channels(place) if channels is None else check_channels(self.layer, channels)
        maps, is_constant = self.maps[place], self.is_constant[place]
        rows = [
            {
                "channel": channel,
                "max": float(maps[channel].max()),
                "mean": float(maps[channel].mean()),
                "min": float(maps[channel].min()),
                "is_constant": bool(is_constant[channel]),
            }
            for channel in chosen
        ]
        return {**self.layer.to_dict(), "constant": int(is_constant.sum()), "maps": rows}


def extract_feature_maps(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    layer: str,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> FeatureMaps:
    """Extract what a layer puts out for a few images; the network is left as it was.

    Args:
        model: any network on images.
        images: pixels as stored; the maps of all of them are kept, in at most 2 GiB.
        layer: name of a module, see `list_map_layers`.
        mean: per channel of the images, as fractions of 255.
        std: per channel of the images, as fractions of 255.
        side_px: height of the images that the network takes in, if it works on shrunk ones.
        batch_size: images that go through the network at a time.
        precision: format of the convolutions and products.
    Raises:
        ModelError: if there is no such layer, it has no map of positions, or gives values that are not numbers.
        ConfigError: if the images are not uint8, or too many.
    """
    size = size_of_inputs(images, side_px)
    found = find_map_layer(model, size, layer)
    rows, columns = found.resolution
    if len(images) * found.channels * rows * columns * 4 > _MOST_BYTES:
        most = _MOST_BYTES // (found.channels * rows * columns * 4)
        raise ConfigError("images", f"the maps of {len(images):,} do not fit in 2 GiB", f"give at most {most:,}")
    parts: list[Tensor] = []

    def keep(first: int, outputs: Float32[Tensor, "n k h w"]) -> None:
        parts.append(outputs.cpu())

    visit_layer(
        model,
        images,
        layer,
        keep,
        mean=mean,
        std=std,
        side_px=side_px,
        batch_size=batch_size,
        precision=precision,
    )
    maps = torch.cat(parts) if parts else torch.zeros(0, found.channels, rows, columns)
    if not bool(maps.isfinite().all()):
        raise ModelError(f"layer {layer!r}", "puts out values that are not numbers", "look at the network's weights")
    return FeatureMaps(found, maps.contiguous())
