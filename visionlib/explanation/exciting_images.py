"""`find_exciting_images`: the images of a split to which a channel of a layer answers most."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.errors import ConfigError, DataError, ModelError
from visionlib.explanation.map_layers import MapLayer, check_channels, find_map_layer, size_of_inputs, visit_layer
from visionlib.explanation.running_best import RunningBest, pick
from visionlib.explanation.seen_fields import Box, SeenFields


@dataclass(frozen=True, eq=False)
class ExcitingImages:
    """The images that excite channels of a layer most, the strongest first.

    Attributes:
        layer: the layer.
        classes: class names.
        by: what counts: the largest value of a map (`peak`), or its mean.
        n: images that were searched.
        channels: the channels, in the layer's own numbers.
        values: what counts, per channel and image.
        positions: places of the images in the split.
        index: the images' lasting index.
        labels: their classes.
        places: row and column, in the layer's map, of the largest value.
        fields: the pixels of the image as stored that this position sees; None where that is not known.
        means: mean of the values of all images, per channel.
        deviations: their standard deviation.
        is_constant: whether a channel has the same value for all images; then the images shown mean nothing.
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
    deviations: Float64[Tensor, "c"]
    is_constant: Bool[Tensor, "c"]

    @property
    def k(self) -> int:
        """Images per channel."""
        return self.values.shape[1]

    @property
    def stands_out(self) -> Float64[Tensor, "c"]:
        """By how many standard deviations the strongest image lies above the mean; 0 for a constant channel."""
        above = self.values[:, 0].to(torch.float64) - self.means
        return torch.where(self.is_constant, 0.0, above / self.deviations.clamp_min(1e-300))

    def take(self, count: int) -> "ExcitingImages":
        """Keep the channels whose strongest image stands out most, in the order of their numbers."""
        order = self.stands_out.argsort(descending=True, stable=True)[:count]
        places = sorted(order.tolist())
        tensors = ("values", "positions", "index", "labels", "places", "means", "deviations", "is_constant")
        changes: dict[str, Any] = {name: pick(getattr(self, name), places) for name in tensors}
        changes["channels"] = tuple(self.channels[place] for place in places)
        changes["fields"] = tuple(self.fields[place] for place in places)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Give everything for JSON."""
        return {
            **self.layer.to_dict(),
            "by": self.by,
            "n": self.n,
            "exciting": [self._channel(place) for place in range(len(self.channels))],
        }

    def _channel(self, place: int) -> dict[str, Any]:
        images = [
            {
                "index": int(self.index[place, rank]),
                "class": self.classes[int(self.labels[place, rank])],
                "value": float(self.values[place, rank]),
                "place": self.places[place, rank].tolist(),
                "sees": None if (box := self.fields[place][rank]) is None else [list(span) for span in box],
            }
            for rank in range(self.k)
        ]
        return {
            "channel": self.channels[place],
            "mean": float(self.means[place]),
            "deviation": float(self.deviations[place]),
            "stands_out": float(self.stands_out[place]),
            "is_constant": bool(self.is_constant[place]),
            "images": images,
        }


def find_exciting_images(
    model: nn.Module,
    split: ImageSplit,
    layer: str,
    channels: Sequence[int] | None = None,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    k: int = 8,
    by: Literal["peak", "mean"] = "peak",
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> ExcitingImages:
    """Find the images of a split to which channels of a layer answer most; the network is left as it was.

    The split is looked at batch by batch, and of each batch only the largest values are kept: the memory does not grow
    with the number of images. Of images with equal values the first ones are kept.

    Args:
        model: any network on images.
        split: the images to search.
        layer: name of a module, see `list_map_layers`.
        channels: of the layer; by default all.
        mean: per channel of the images, as fractions of 255.
        std: per channel of the images, as fractions of 255.
        side_px: height of the images that the network takes in, if it works on shrunk ones.
        k: images for each channel, fewer if the split has fewer.
        by: what counts: the largest value of the channel's map, or the mean of the map.
        batch_size: images that go through the network at a time.
        precision: format of the convolutions and products.
    Raises:
        ModelError: if there is no such layer, it has no map of positions, or gives values that are not numbers.
        ConfigError: if a channel or k is out of range.
        DataError: if the split has no images.
    """
    if k < 1:
        raise ConfigError("k", f"{k} is out of range", "it must be at least 1")
    if not len(split):
        raise DataError("split", "has no images", "search another split")
    size = size_of_inputs(split.images, side_px)
    found = find_map_layer(model, size, layer)
    chosen = tuple(range(found.channels)) if channels is None else check_channels(found, channels)
    if not chosen:
        raise ConfigError("channels", "there are none", "name at least one")
    best = RunningBest(len(chosen), min(k, len(split)))

    def visit(first: int, outputs: Float32[Tensor, "n k h w"]) -> None:
        maps = outputs[:, list(chosen)].flatten(2)
        peaks, cells = maps.max(2)
        values = peaks if by == "peak" else maps.mean(2)
        if not bool((peaks.isfinite() & values.isfinite()).all()):
            problem = "puts out values that are not numbers"
            raise ModelError(f"layer {layer!r}", problem, "look at the network's weights")
        best.add(first, values.cpu(), cells.cpu(), outputs.shape[3])

    visit_layer(
        model,
        split.images,
        layer,
        visit,
        mean=mean,
        std=std,
        side_px=side_px,
        batch_size=batch_size,
        precision=precision,
    )
    fields = SeenFields(model, found, size, split.image_size)
    seen = tuple(
        tuple(fields.find(channel, *place) for place in places.tolist())
        for channel, places in zip(chosen, best.places, strict=True)
    )
    return ExcitingImages(
        layer=found,
        classes=split.classes,
        by=by,
        n=best.n,
        channels=chosen,
        values=best.values,
        positions=best.positions,
        index=split.index.cpu()[best.positions],
        labels=split.labels.cpu()[best.positions],
        places=best.places,
        fields=seen,
        means=best.means,
        deviations=best.deviations,
        is_constant=best.is_constant,
    )
