"""`extract_feature_maps`: the output of a layer for images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from visionlib.errors import ConfigError, ModelError
from visionlib.explanation.map_layers import MapLayer, check_channels, find_map_layer, visit_layer
from visionlib.inference.trained_model import TrainedModel

_MOST_BYTES = 2**31


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The output of a layer for images.

    Attributes:
        layer: the layer.
        maps: raw activations at the layer's resolution, a map per image and channel.
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
        """Whether a map has the same value everywhere: the channel detects nothing in the image."""
        return self.peaks == self.maps.amin((2, 3))

    def rank_channels(self, position: int = 0) -> tuple[int, ...]:
        """Sort the channels by their largest value on an image, constant ones last."""
        peaks = self.peaks[position].masked_fill(self.is_constant[position], -torch.inf)
        return tuple(peaks.argsort(descending=True, stable=True).tolist())

    def to_dict(self, position: int = 0, channels: Sequence[int] | None = None) -> dict[str, Any]:
        """Return statistics of an image's maps for JSON, of all channels or of those named.

        Raises:
            ConfigError: if a channel is out of range.
        """
        chosen = self.rank_channels(position) if channels is None else check_channels(self.layer, channels)
        maps, is_constant = self.maps[position], self.is_constant[position]
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
    model: TrainedModel, images: UInt8[Tensor, "n c h w"], layer: str, *, batch_size: int = 250
) -> FeatureMaps:
    """Extract the output of a layer for images; the network is not changed.

    Args:
        model: any network on images, with its preprocessing.
        images: stored pixels; all maps together take at most 2 GiB.
        layer: name of a module, see `list_map_layers`.
        batch_size: images per forward pass.
    Raises:
        ModelError: if the layer is unknown, or its output is no map of positions or not finite.
        ConfigError: if the images are not uint8, or too many.
    """
    map_layer = find_map_layer(model.network, model.input_size(images), layer)
    rows, columns = map_layer.resolution
    most = _MOST_BYTES // (map_layer.channels * rows * columns * 4)
    if len(images) > most:
        raise ConfigError("images", f"the maps of {len(images):,} do not fit in 2 GiB", f"give at most {most:,}")
    parts = [torch.zeros(0, map_layer.channels, rows, columns)]

    def append(first: int, outputs: Float32[Tensor, "n k h w"]) -> None:
        parts.append(outputs.cpu())

    visit_layer(model, images, layer, append, batch_size=batch_size)
    maps = torch.cat(parts)
    if not bool(maps.isfinite().all()):
        raise ModelError(f"layer {layer!r}", "outputs values that are not finite", "check the network's weights")
    return FeatureMaps(map_layer, maps.contiguous())
