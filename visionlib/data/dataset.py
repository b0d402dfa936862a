"""`Dataset` and its splits: images as uint8 tensors with labels, class names, stable ids and a content hash."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from visionlib.data.cache import take_images
from visionlib.data.sources import Sources
from visionlib.errors import DataError


@dataclass(frozen=True, eq=False)
class Originals:
    """Size and mode of each picture of a split, as its file has them.

    Attributes:
        sizes: height and width in pixels, after EXIF orientation.
        modes: mode of each picture in Pillow's words, such as `RGB`, `L` for grayscale and `P` for a palette; with
            `+transparency` if a palette or colour key makes pixels transparent.
    """

    sizes: Int64[Tensor, "n 2"]
    modes: tuple[str, ...]

    def count_modes(self) -> dict[str, int]:
        """Count the pictures of each mode, the most common first."""
        return dict(Counter(self.modes).most_common())

    def subset(self, positions: Int64[Tensor, "k"]) -> "Originals":
        """Take the entries at `positions`, in that order."""
        positions = positions.cpu()
        return replace(self, sizes=self.sizes[positions], modes=tuple(self.modes[at] for at in positions.tolist()))


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """One complete split of a dataset, on one device.

    Attributes:
        images: pixels, not normalized; one or three channels.
        labels: class of each image, as a position in `classes`.
        classes: class names.
        index: stable image id: its position in the source; subsets keep it.
        masks: pixels of the object, where the source has masks.
        originals: size and mode of the encoded pictures, where the source has encoded pictures.
        sources: file, or file and row, of each image by its stable id; None for drawn images and arrays.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    index: Int64[Tensor, "n"]
    masks: Bool[Tensor, "n h w"] | None = None
    originals: Originals | None = None
    sources: Sources | None = None

    def __post_init__(self) -> None:
        if self.labels.numel() and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise DataError(
                "labels",
                f"found {int(self.labels.min())}..{int(self.labels.max())} with {len(self.classes)} class names",
                f"labels must be 0..{len(self.classes) - 1}",
            )

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, positions: Int64[Tensor, "k"]) -> UInt8[Tensor, "k c h w"]:
        """Take pixels at `positions`, in that order; of a split that is being decoded, as soon as these are there."""
        return self.images[positions.to(self.images.device)]

    @property
    def device(self) -> torch.device:
        """Where the pixels lie."""
        return self.images.device

    def source(self, position: int) -> str | None:
        """The file, or file and row, of the image at a position, as `Sources` writes it; None if it is not known."""
        return None if self.sources is None else self.sources.name(int(self.index[position]))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def channels(self) -> int:
        """1 for grayscale images, 3 for colour."""
        return self.images.shape[1]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, labels and pixels in order: the same pictures have the same hash in every container.

        Class names, masks and sources are left out: not every container can hold them.
        """
        digest = hashlib.sha256(f"visionlib-split-1 {tuple(self.images.shape)}".encode())
        digest.update(self.labels.cpu().numpy().astype("<i8").tobytes())
        images = self.images.cpu().contiguous()
        for start in range(0, len(images), 4096):
            digest.update(images[start : start + 4096].numpy().data)
        return digest.hexdigest()

    @cached_property
    def _value_counts(self) -> Int64[Tensor, "c 256"]:
        """Histogram of each channel over the 256 values: integers, exact for a split of any size."""
        counts = torch.zeros(self.channels, 256, dtype=torch.int64)
        for start in range(0, len(self), 4096):
            for channel, pixels in enumerate(self.images[start : start + 4096].transpose(0, 1)):
                counts[channel] += torch.bincount(pixels.flatten(), minlength=256).cpu()
        return counts

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, with pixels as fractions of 255; zeros for an empty split."""
        counts = self._value_counts.to(torch.float64)
        totals = counts.sum(1).clamp(min=1)
        return tuple(((counts * torch.arange(256)).sum(1) / totals / 255).tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """Std (standard deviation) of each channel over all pixels, as fractions of 255; zeros for an empty split."""
        counts = self._value_counts.to(torch.float64)
        totals = counts.sum(1).clamp(min=1)
        mean = (counts * torch.arange(256)).sum(1, keepdim=True) / totals[:, None]
        return tuple((((counts * (torch.arange(256) - mean) ** 2).sum(1) / totals).sqrt() / 255).tolist())

    @property
    def per_class(self) -> dict[str, int]:
        """Number of images of each class, in the order of `classes`."""
        counts = torch.bincount(self.labels.cpu(), minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def subset(self, positions: Int64[Tensor, "k"]) -> "ImageSplit":
        """Take the images at `positions`, in that order, with their stable ids.

        Pixels that are too many for the memory go into a memory-mapped file, see `take_images`.
        """
        masks = None if self.masks is None else self.masks[positions]
        return replace(
            self,
            images=take_images(self.images, positions, lambda: self.content_hash),
            labels=self.labels[positions],
            index=self.index[positions],
            masks=masks,
            originals=None if self.originals is None else self.originals.subset(positions),
        )

    def to(self, device: torch.device | str) -> "ImageSplit":
        """Return the same split on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            index=self.index.to(device),
            masks=masks,
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of one source.

    Attributes:
        name: as the user wrote it: a name such as `cifar10`, or a path.
        splits: `train`, `test` and any others of the source.
        classes: class names, the same for every split.
        warnings: sentences for the user: a split was held out, images were resized, and so on.
        options: the arguments of `load_dataset`, besides the name, that load the same again.
    """

    name: str
    splits: Mapping[str, ImageSplit]
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        train_images: object,
        train_labels: object,
        test_images: object = None,
        test_labels: object = None,
        *,
        classes: Sequence[str] | None = None,
        name: str = "arrays",
        channels_last: bool | None = None,
        holdout_fraction: float = 0.1,
        seed: int = 0,
    ) -> "Dataset":
        """Make a dataset of images and labels in memory; the pixels are copied.

        Args:
            train_images: an array or tensor of shape (n, h, w), (n, c, h, w) or (n, h, w, c) with one or three
                channels, or a list of Pillow images of one size. Whole numbers are pixels from 0 to 255. Floats that
                are all within 0 and 1 are multiplied by 255 and rounded; others must be whole, too. Truth values are
                black and white. Anything else is refused, normalized images among it.
            train_labels: for each image an integer, a name, a truth value or a one-hot row. The classes are the
                different labels, sorted, and their names are the labels' text.
            test_images: like `train_images`; without them images are held out.
            test_labels: of the test images; they may not have a class that is absent from training.
            classes: names for the labels 0, 1, 2 ...; for other labels, as many as there are, in sorted order; for
                labels that are names, their order.
            name: of the dataset, for the run folder and messages.
            channels_last: whether the shape is (n, h, w, c), where it does not tell, as (n, 3, 32, 3).
            holdout_fraction: fraction of each class that becomes the test split if none is given.
            seed: decides which images.
        Raises:
            DataError: if images or labels cannot be read so; the message says why, and what to pass instead.
            ConfigError: if one of `test_images` and `test_labels` is missing, or `holdout_fraction` is out of range.
        """
        from visionlib.data.load import load_arrays  # it makes a Dataset

        return load_arrays(
            train_images,
            train_labels,
            test_images,
            test_labels,
            classes=classes,
            name=name,
            channels_last=channels_last,
            holdout_fraction=holdout_fraction,
            seed=seed,
        )

    @property
    def train(self) -> ImageSplit:
        """The training split."""
        return self.split("train")

    @property
    def test(self) -> ImageSplit:
        """The test split, for reporting only."""
        return self.split("test")

    def split(self, name: str) -> ImageSplit:
        """Return one split by name.

        Raises:
            DataError: if there is no such split; the message lists the existing ones.
        """
        if name not in self.splits:
            raise DataError(self.name, f"has no split {name!r}", f"it has: {', '.join(self.splits)}", is_usage=True)
        return self.splits[name]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the names and content hashes of all splits, in alphabetical order."""
        lines = [f"{name} {self.splits[name].content_hash}" for name in sorted(self.splits)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
