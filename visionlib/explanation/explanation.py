"""`Explanation`: maps of where a network finds a class in images, with all that is needed to read them."""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from visionlib.explanation.activation_maps import divide_by_peak


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of one method for some images.

    Attributes:
        maps: evidence at each place, at least 0, not scaled; at the resolution that the method has, never enlarged.
        method: its name.
        layers: names of the layers that the maps are of; none for maps on the input.
        target: which class is explained: `predicted`, `true`, or the name of one.
        classes: that class of each image.
        probabilities: of that class.
        predictions: the class that the network says.
        labels: true class of each image; None where it is not known.
        index: what each image is called for good.
        images: the raw images.
        class_names: names.
        input_size: height and width in pixels of what the network took in.
    """

    maps: Float32[Tensor, "n mh mw"]
    method: str
    layers: tuple[str, ...]
    target: str
    classes: Int64[Tensor, "n"]
    probabilities: Float32[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"] | None
    index: Int64[Tensor, "n"]
    images: UInt8[Tensor, "n c h w"]
    class_names: tuple[str, ...]
    input_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the maps, in cells."""
        return self.maps.shape[1], self.maps.shape[2]

    @cached_property
    def is_constant(self) -> Bool[Tensor, "n"]:
        """Which maps say nothing: one value everywhere."""
        return self.maps.amax((1, 2)) == self.maps.amin((1, 2))

    @cached_property
    def scaled(self) -> Float32[Tensor, "n mh mw"]:
        """The maps, each divided by its maximum; zero where it says nothing."""
        return divide_by_peak(self.maps)

    def take(self, positions: Int64[Tensor, "m"]) -> "Explanation":
        """Give the explanations of some of the images."""
        return Explanation(
            self.maps[positions],
            self.method,
            self.layers,
            self.target,
            self.classes[positions],
            self.probabilities[positions],
            self.predictions[positions],
            None if self.labels is None else self.labels[positions],
            self.index[positions],
            self.images[positions],
            self.class_names,
            self.input_size,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the pixels and maps as plain values for JSON, with the place of each map's maximum."""
        cells = self.maps.flatten(1).argmax(1) if self.maps.numel() else torch.zeros(0, dtype=torch.int64)
        labels = [None] * len(self) if self.labels is None else self.labels.tolist()
        columns = zip(
            self.index.tolist(),
            labels,
            self.predictions.tolist(),
            self.classes.tolist(),
            self.probabilities.tolist(),
            self.is_constant.tolist(),
            cells.tolist(),
            strict=True,
        )
        width = max(1, self.resolution[1])
        return {
            "method": self.method,
            "layers": list(self.layers),
            "resolution": list(self.resolution),
            "target": self.target,
            "n": len(self),
            "constant": int(self.is_constant.sum()),
            "images": [
                {
                    "index": index,
                    "class": None if label is None else self.class_names[label],
                    "predicted": self.class_names[predicted],
                    "explained": self.class_names[explained],
                    "probability": probability,
                    "is_constant": constant,
                    "maximum": None if constant else [cell // width, cell % width],
                }
                for index, label, predicted, explained, probability, constant, cell in columns
            ],
        }

    def _repr_png_(self) -> bytes:
        """Show the first twelve in a notebook."""
        from visionlib.explanation.explanation_picture import draw_explanations

        buffer = io.BytesIO()
        draw_explanations([self.take(torch.arange(min(12, len(self))))]).savefig(buffer, format="png")
        return buffer.getvalue()
