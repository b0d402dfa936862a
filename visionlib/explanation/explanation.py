"""`Explanation`: maps of the evidence for a class in images."""

import io
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.sources import Sources, name_sources
from visionlib.explanation.activation_maps import divide_by_peak
from visionlib.explanation.input_maps import LARGEST_GAP


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of images by one method.

    Attributes:
        maps: evidence at each cell, at least 0 and not scaled, at the method's own resolution.
        method: its name.
        layers: names of the mapped layers; none for maps at the input.
        target: the explained class: `predicted`, `true`, or a class name.
        classes: the explained class of each image.
        probabilities: of the explained class.
        predictions: predicted class of each image.
        labels: true class of each image; None where it is not known.
        index: stable image ids.
        images: stored pixels.
        class_names: in the order of the logits.
        input_size: height and width of the network's inputs, in pixels.
        completeness_gaps: of integrated gradients: the difference between the sum of an image's attributions and that
            of the logits of image and mean colour, relative to the latter; None for other methods.
        sources: files that the images were read from, by their stable ids; None if they are not known.
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
    completeness_gaps: Float32[Tensor, "n"] | None = None
    sources: Sources | None = None

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the maps, in cells."""
        return self.maps.shape[1], self.maps.shape[2]

    @cached_property
    def is_constant(self) -> Bool[Tensor, "n"]:
        """Whether a map has the same value everywhere, and so no information."""
        return self.maps.amax((1, 2)) == self.maps.amin((1, 2))

    @cached_property
    def scaled(self) -> Float32[Tensor, "n mh mw"]:
        """The maps, each divided by its maximum; zero for maps without evidence."""
        return divide_by_peak(self.maps)

    def take(self, positions: Int64[Tensor, "m"]) -> "Explanation":
        """Select some of the images."""
        names = ("maps", "classes", "probabilities", "predictions", "labels", "index", "images", "completeness_gaps")
        return replace(
            self, **{name: tensor[positions] for name in names if (tensor := getattr(self, name)) is not None}
        )

    @property
    def completeness(self) -> dict[str, Any] | None:
        """Summary of the gaps: how many images are within 1 %, the mean and the largest; None without gaps."""
        if self.completeness_gaps is None:
            return None
        finite = self.completeness_gaps[self.completeness_gaps.isfinite()]
        return {
            "limit": LARGEST_GAP,
            "within": int((self.completeness_gaps <= LARGEST_GAP).sum()),
            "n": len(self),
            "mean_gap": float(finite.mean()) if len(finite) else None,
            "largest_gap": float(finite.max()) if len(finite) else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: all but pixels and maps, and the cell of each map's maximum."""
        cells = self.maps.flatten(1).argmax(1) if self.maps.numel() else torch.zeros(0, dtype=torch.int64)
        labels = [None] * len(self) if self.labels is None else self.labels.tolist()
        columns = zip(
            self.index.tolist(),
            name_sources(self.sources, self.index),
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
            "completeness": self.completeness,
            "images": [
                {
                    "index": index,
                    "source": source,
                    "class": None if label is None else self.class_names[label],
                    "predicted": self.class_names[predicted],
                    "explained": self.class_names[explained],
                    "probability": probability,
                    "is_constant": constant,
                    "maximum": None if constant else [cell // width, cell % width],
                }
                for index, source, label, predicted, explained, probability, constant, cell in columns
            ],
        }

    def _repr_png_(self) -> bytes:
        """Show the first twelve images in a notebook."""
        from visionlib.explanation.explanation_picture import draw_explanations

        buffer = io.BytesIO()
        draw_explanations([self.take(torch.arange(min(12, len(self))))]).savefig(buffer, format="png")
        return buffer.getvalue()
