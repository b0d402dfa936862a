"""`find_odd_images`: pictures that are constant or nearly so, were tiny before resizing, or are odd in mode."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from visionlib.data import Dataset, ImageSplit

Oddity = Literal["constant", "almost constant", "grey", "tiny", "mode"]
ODDITIES: tuple[Oddity, ...] = get_args(Oddity)

LEAST_DEVIATION = 4.0
"""Standard deviation over an image, in values from 0 to 255, below which it is almost constant: as JPEG's noise."""
LARGEST_TINT = 8
"""How far the channels of a pixel may be apart, in values from 0 to 255, for it to be grey: JPEG tints that much."""
LARGEST_ENLARGEMENT = 2.0
"""How many times smaller than now the shorter side of a picture may have been."""
_VALUES_AT_ONCE = 2**22


@dataclass(frozen=True)
class OddImage:
    """A picture that should be looked at.

    Attributes:
        oddity: `constant` if every channel has one value; `almost constant` if it deviates by less than 4 of 255;
            `grey` if it has no colour, where most pictures of the dataset have; `tiny` if it was enlarged more than
            twice; `mode` if its file has another mode than most of the dataset's.
        split: its split.
        position: its position there.
        index: what it is called for good.
        label: name of its class.
        detail: what was found, in words.
    """

    oddity: Oddity
    split: str
    position: int
    index: int
    label: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "oddity": self.oddity,
            "split": self.split,
            "position": self.position,
            "index": self.index,
            "label": self.label,
            "detail": self.detail,
        }


@dataclass(frozen=True, eq=False)
class _Looks:
    is_constant: Bool[Tensor, "n"]
    deviations: Float32[Tensor, "n"]
    is_grey: Bool[Tensor, "n"]


def find_odd_images(dataset: Dataset) -> tuple[OddImage, ...]:
    """List the odd images of all splits, by what is odd in them and where they stand; one may be odd in several ways.

    Size and mode are known of pictures that were files, alone or in parquet. Constant images are not called grey, too.
    """
    looks = {name: _look_at(split) for name, split in dataset.splits.items()}
    total = sum(len(split) for split in dataset.splits.values())
    grey = sum(int(look.is_grey.sum()) for look in looks.values())
    is_coloured = 2 * grey < total
    common = _find_common_mode(dataset)
    found = [
        odd
        for name, split in dataset.splits.items()
        for odd in (*_judge_looks(name, split, looks[name], is_coloured=is_coloured), *_judge_file(name, split, common))
    ]
    return tuple(sorted(found, key=lambda odd: ODDITIES.index(odd.oddity)))


def _look_at(split: ImageSplit) -> _Looks:
    constant, deviations, grey = ([torch.zeros(0)] for _ in range(3))
    at_once = max(1, _VALUES_AT_ONCE // math.prod(split.images.shape[1:]))
    for images in torch.split(split.images, at_once) if len(split) else ():
        flat = images.cpu().flatten(2)
        constant.append((flat.amax(2) == flat.amin(2)).all(1).float())
        deviations.append(flat.float().var(2, correction=0).mean(1).sqrt())
        grey.append(_is_grey(flat).float())
    return _Looks(torch.cat(constant) > 0, torch.cat(deviations), torch.cat(grey) > 0)


def _is_grey(flat: UInt8[Tensor, "n c p"]) -> Bool[Tensor, "n"]:
    if flat.shape[1] == 1:
        return torch.zeros(len(flat), dtype=torch.bool)
    return ((flat.amax(1) - flat.amin(1)) <= LARGEST_TINT).all(1)


def _judge_looks(name: str, split: ImageSplit, looks: _Looks, *, is_coloured: bool) -> Iterator[OddImage]:
    nearly = ~looks.is_constant & (looks.deviations < LEAST_DEVIATION)
    for at in looks.is_constant.nonzero().flatten().tolist():
        values = ", ".join(map(str, split.images[at, :, 0, 0].tolist()))
        yield _tell("constant", name, split, at, f"every pixel is {values}")
    for at in nearly.nonzero().flatten().tolist():
        yield _tell("almost constant", name, split, at, f"deviates by {float(looks.deviations[at]):.1f} of 255")
    if is_coloured:
        for at in (looks.is_grey & ~looks.is_constant).nonzero().flatten().tolist():
            yield _tell("grey", name, split, at, "has no colour")


def _judge_file(name: str, split: ImageSplit, common: str) -> Iterator[OddImage]:
    if split.originals is None:
        return
    shorter = split.originals.sizes.amin(1)
    for at in (shorter * LARGEST_ENLARGEMENT < min(split.image_size)).nonzero().flatten().tolist():
        height, width = split.originals.sizes[at].tolist()
        yield _tell("tiny", name, split, at, f"was {width} x {height} pixels")
    for at, mode in enumerate(split.originals.modes):
        if mode != common:
            yield _tell("mode", name, split, at, f"is {mode}, and most are {common}")


def _find_common_mode(dataset: Dataset) -> str:
    modes: Counter[str] = Counter()
    for split in dataset.splits.values():
        if split.originals is not None:
            modes.update(split.originals.modes)
    return modes.most_common(1)[0][0] if modes else ""


def _tell(oddity: Oddity, name: str, split: ImageSplit, at: int, detail: str) -> OddImage:
    return OddImage(oddity, name, at, int(split.index[at]), split.classes[int(split.labels[at])], detail)
