"""`find_odd_images`: images that are constant or almost so, grayscale, tiny before resizing, or of a rare mode."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from visionlib.data import Dataset, ImageSplit

Oddity = Literal["constant", "almost constant", "grey", "tiny", "mode"]
ODDITIES: tuple[Oddity, ...] = get_args(Oddity)

MIN_STD = 4.0
"""An image is almost constant below this std over its pixels, of 255: a level of JPEG noise."""
MAX_TINT = 8
"""Largest difference between the channels of a grayscale pixel, of 255: JPEG tints by up to this."""
MAX_ENLARGEMENT = 2.0
"""Enlargement of the shorter side above which the original was tiny."""
_VALUES_AT_ONCE = 2**22


@dataclass(frozen=True)
class OddImage:
    """An image to look at.

    Attributes:
        oddity: `constant`: every channel has one value; `almost constant`: the std over its pixels, a root mean square
            over channels, is below 4 of 255; `grey`: grayscale, where most images of the dataset have colour; `tiny`:
            enlarged more than twofold; `mode`: its file has another mode than most of the dataset's.
        split: name of the split.
        position: in the split.
        index: stable image id.
        label: class name.
        detail: the finding, in words.
        source: file, or file and row, that it was read from; None if it is not known.
    """

    oddity: Oddity
    split: str
    position: int
    index: int
    label: str
    detail: str
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _PixelStatistics:
    is_constant: Bool[Tensor, "n"]
    stds: Float32[Tensor, "n"]
    is_grayscale: Bool[Tensor, "n"]


def find_odd_images(dataset: Dataset) -> tuple[OddImage, ...]:
    """List the odd images of all splits, by oddity, split and position; an image may have several oddities.

    Size and mode are known only of image files, also within parquet. Constant images are not listed as grayscale, too.
    """
    statistics = {name: _measure_pixels(split) for name, split in dataset.splits.items()}
    total = sum(len(split) for split in dataset.splits.values())
    is_coloured = 2 * sum(int(measured.is_grayscale.sum()) for measured in statistics.values()) < total
    common_mode = _find_common_mode(dataset)
    odd_images = [
        odd
        for name, split in dataset.splits.items()
        for odd in (
            *_check_pixels(name, split, statistics[name], is_coloured=is_coloured),
            *_check_file(name, split, common_mode),
        )
    ]
    return tuple(sorted(odd_images, key=lambda odd: ODDITIES.index(odd.oddity)))


def _measure_pixels(split: ImageSplit) -> _PixelStatistics:
    is_constant, stds, is_grayscale = ([torch.zeros(0)] for _ in range(3))
    at_once = max(1, _VALUES_AT_ONCE // math.prod(split.images.shape[1:]))
    for images in torch.split(split.images, at_once) if len(split) else ():
        flat = images.cpu().flatten(2)
        is_constant.append((flat.amax(2) == flat.amin(2)).all(1).float())
        stds.append(flat.float().var(2, correction=0).mean(1).sqrt())
        is_grayscale.append(_is_grayscale(flat).float())
    return _PixelStatistics(torch.cat(is_constant) > 0, torch.cat(stds), torch.cat(is_grayscale) > 0)


def _is_grayscale(flat: UInt8[Tensor, "n c p"]) -> Bool[Tensor, "n"]:
    if flat.shape[1] == 1:
        return torch.zeros(len(flat), dtype=torch.bool)
    return ((flat.amax(1) - flat.amin(1)) <= MAX_TINT).all(1)


def _check_pixels(name: str, split: ImageSplit, measured: _PixelStatistics, *, is_coloured: bool) -> Iterator[OddImage]:
    for position in measured.is_constant.nonzero().flatten().tolist():
        values = ", ".join(map(str, split.images[position, :, 0, 0].tolist()))
        yield _make_odd("constant", name, split, position, f"every pixel is {values}")
    is_almost_constant = ~measured.is_constant & (measured.stds < MIN_STD)
    for position in is_almost_constant.nonzero().flatten().tolist():
        yield _make_odd("almost constant", name, split, position, f"std {float(measured.stds[position]):.1f} of 255")
    if is_coloured:
        for position in (measured.is_grayscale & ~measured.is_constant).nonzero().flatten().tolist():
            yield _make_odd("grey", name, split, position, "has no colour")


def _check_file(name: str, split: ImageSplit, common_mode: str) -> Iterator[OddImage]:
    if split.originals is None:
        return
    is_tiny = split.originals.sizes.amin(1) * MAX_ENLARGEMENT < min(split.image_size)
    for position in is_tiny.nonzero().flatten().tolist():
        height, width = split.originals.sizes[position].tolist()
        yield _make_odd("tiny", name, split, position, f"was {width} x {height} pixels")
    for position, mode in enumerate(split.originals.modes):
        if mode != common_mode:
            yield _make_odd("mode", name, split, position, f"is {mode}, and most are {common_mode}")


def _find_common_mode(dataset: Dataset) -> str:
    originals = [split.originals for split in dataset.splits.values() if split.originals is not None]
    modes = Counter(mode for files in originals for mode in files.modes)
    return modes.most_common(1)[0][0] if modes else ""


def _make_odd(oddity: Oddity, name: str, split: ImageSplit, position: int, detail: str) -> OddImage:
    label = split.classes[int(split.labels[position])]
    return OddImage(oddity, name, position, int(split.index[position]), label, detail, split.source(position))
