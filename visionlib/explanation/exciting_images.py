"""`find_exciting_images`: the images of a split with the highest activation of a channel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.sources import Sources, name_sources
from visionlib.errors import ConfigError, DataError, ModelError
from visionlib.explanation.map_layers import MapLayer, check_channels, find_map_layer, visit_layer
from visionlib.explanation.position_fields import Box, PositionFields
from visionlib.explanation.running_best import RunningBest
from visionlib.inference.trained_model import TrainedModel


@dataclass(frozen=True, eq=False)
class ExcitingImages:
    """The images with the highest activation of each channel, in descending order.

    Attributes:
        layer: the layer.
        classes: class names.
        by: the value of an image: the maximum of its map (`peak`), or the mean (`mean`).
        n: number of images searched.
        channels: positions in the layer's output.
        values: per channel and image.
        positions: of the images in the split.
        index: stable image ids.
        labels: classes of the images.
        places: row and column of the maximum in the layer's map.
        fields: receptive field of this maximum, in stored pixels; None where it is not known.
        means: of the values of all images, per channel.
        stds: of the same values.
        is_constant: whether a channel has the same value for all images.
        sources: files that the images were read from, by their stable ids; None if they are not known.
    """

    layer: MapLayer
    classes: tuple[str, ...]
    by: str
    n: int
    channels: tuple[int, ...]
    values: Float32[Tensor, "c k"]
    positions: Int64[Tensor, "c k"]
    index: Int64[Tensor, "c k"]
    labels: Int64[Tensor, "c k"]
    places: Int64[Tensor, "c k 2"]
    fields: tuple[tuple[Box | None, ...], ...]
    means: Float64[Tensor, "c"]
    stds: Float64[Tensor, "c"]
    is_constant: Bool[Tensor, "c"]
    sources: Sources | None = None

    @property
    def k(self) -> int:
        """Images per channel."""
        return self.values.shape[1]

    @property
    def stands_out(self) -> Float64[Tensor, "c"]:
        """Distance of the strongest image from the mean, in stds; 0 for a constant channel."""
        above = self.values[:, 0].to(torch.float64) - self.means
        return torch.where(self.is_constant, 0.0, above / self.stds.clamp_min(1e-300))

    def take(self, count: int) -> "ExcitingImages":
        """Select the channels whose strongest image stands out most, in the order of the layer."""
        rows = self.stands_out.argsort(descending=True, stable=True)[:count].sort().values
        selected: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        selected["channels"] = tuple(self.channels[row] for row in rows.tolist())
        selected["fields"] = tuple(self.fields[row] for row in rows.tolist())
        return replace(self, **selected)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            **self.layer.to_dict(),
            "by": self.by,
            "n": self.n,
            "exciting": [self._describe_channel(row) for row in range(len(self.channels))],
        }

    def _describe_channel(self, row: int) -> dict[str, Any]:
        images = [
            {
                "index": int(self.index[row, rank]),
                "source": name_sources(self.sources, self.index[row, rank])[0],
                "class": self.classes[int(self.labels[row, rank])],
                "value": float(self.values[row, rank]),
                "place": self.places[row, rank].tolist(),
                "sees": None if (box := self.fields[row][rank]) is None else [list(span) for span in box],
            }
            for rank in range(self.k)
        ]
        return {
            "channel": self.channels[row],
            "mean": float(self.means[row]),
            "deviation": float(self.stds[row]),
            "stands_out": float(self.stands_out[row]),
            "is_constant": bool(self.is_constant[row]),
            "images": images,
        }


def find_exciting_images(
    model: TrainedModel,
    split: ImageSplit,
    layer: str,
    channels: Sequence[int] | None = None,
    *,
    k: int = 8,
    by: Literal["peak", "mean"] = "peak",
    batch_size: int = 250,
) -> ExcitingImages:
    """Find the images of a split with the highest activation of a layer's channels; the network is not changed.

    Only the largest values so far are stored, so the memory does not grow with the number of images. Ties go to the
    first image in the split.

    Args:
        model: any network on images, with its preprocessing.
        split: the images to search.
        layer: name of a module, see `list_map_layers`.
        channels: of the layer; by default all.
        k: images for each channel, fewer if the split has fewer.
        by: the value of an image: the maximum of the channel's map, or the mean.
        batch_size: images per forward pass.
    Raises:
        ModelError: if the layer is unknown, or its output is no map of positions or not finite.
        ConfigError: if a channel or k is out of range.
        DataError: if the split has no images.
    """
    if k < 1:
        raise ConfigError("k", f"{k} is out of range", "it must be at least 1")
    if not len(split):
        raise DataError("split", "has no images", "search another split")
    size = model.input_size(split.images)
    map_layer = find_map_layer(model.network, size, layer)
    chosen = tuple(range(map_layer.channels)) if channels is None else check_channels(map_layer, channels)
    if not chosen:
        raise ConfigError("channels", "there are none", "name at least one")
    best = RunningBest(len(chosen), min(k, len(split)))

    def visit(first: int, outputs: Float32[Tensor, "n k h w"]) -> None:
        maps = outputs[:, list(chosen)].flatten(2)
        peaks, cells = maps.max(2)
        values = peaks if by == "peak" else maps.mean(2)
        if not bool((peaks.isfinite() & values.isfinite()).all()):
            problem = "outputs values that are not finite"
            raise ModelError(f"layer {layer!r}", problem, "check the network's weights")
        best.add(first, values.cpu(), cells.cpu(), outputs.shape[3])

    visit_layer(model, split.images, layer, visit, batch_size=batch_size)
    receptive_fields = PositionFields(model.network, map_layer, size, split.image_size)
    fields = tuple(
        tuple(receptive_fields.find(channel, *place) for place in places.tolist())
        for channel, places in zip(chosen, best.places, strict=True)
    )
    return ExcitingImages(
        layer=map_layer,
        classes=split.classes,
        by=by,
        n=best.n,
        channels=chosen,
        values=best.values,
        positions=best.positions,
        index=split.index.cpu()[best.positions],
        labels=split.labels.cpu()[best.positions],
        places=best.places,
        fields=fields,
        means=best.means,
        stds=best.stds,
        is_constant=best.is_constant,
        sources=split.sources,
    )
