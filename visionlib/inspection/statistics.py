"""`measure_split`: images per class, mean and std per channel, and the mean image of each class."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from visionlib.data import ImageSplit

_VALUES_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class SplitStatistics:
    """Statistics of one split.

    Attributes:
        n: images.
        image_size: height and width in pixels.
        channels: 1 for grayscale images, 3 for colour.
        classes: names, in the order of `counts` and `class_means`.
        counts: images of each class.
        mean: of each channel over all pixels, as fractions of 255.
        std: standard deviation of each channel over all pixels, as fractions of 255.
        class_means: mean image of each class, as pixel values from 0 to 255; zeros for a class without images.
        modes: number of image files of each mode; empty for a dataset without image files.
    """

    n: int
    image_size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
    counts: Int64[Tensor, "k"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_means: Float32[Tensor, "k c h w"]
    modes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the mean colour of each class; None for a class without images."""
        colours = (self.class_means.mean((2, 3)) / 255).tolist()
        return {
            "n": self.n,
            "image_size": list(self.image_size),
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            "modes": self.modes,
            "per_class": [
                {"class": name, "n": count, "mean": colour if count else None}
                for name, count, colour in zip(self.classes, self.counts.tolist(), colours, strict=True)
            ],
        }


def measure_split(split: ImageSplit) -> SplitStatistics:
    """Compute the statistics of a split."""
    counts = torch.bincount(split.labels.cpu(), minlength=len(split.classes))
    return SplitStatistics(
        n=len(split),
        image_size=split.image_size,
        channels=split.channels,
        classes=split.classes,
        counts=counts,
        mean=split.mean,
        std=split.std,
        class_means=_average_classes(split, counts),
        modes=split.originals.count_modes() if split.originals is not None else {},
    )


def _average_classes(split: ImageSplit, counts: Int64[Tensor, "k"]) -> Float32[Tensor, "k c h w"]:
    # int32 holds the sum of eight million images exactly.
    sums = torch.zeros(len(split.classes), *split.images.shape[1:], dtype=torch.int32)
    at_once = max(1, _VALUES_AT_ONCE // math.prod(split.images.shape[1:]))
    for images, labels in zip(torch.split(split.images, at_once), torch.split(split.labels, at_once), strict=True):
        sums.index_add_(0, labels.cpu(), images.cpu().to(torch.int32))
    return sums.float() / counts.clamp(min=1)[:, None, None, None]
