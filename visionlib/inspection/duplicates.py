"""`find_duplicates`: images that are there twice, within a split and between splits; exactly, nearly, or mirrored."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.inspection.likeness import correlate_pixels, find_alike, make_thumbnails
from visionlib.progress import progress_bar

Kind = Literal["exact", "near", "mirrored", "embedding"]

LEAST_ALIKE = 0.93
"""Correlation of thumbnails from which pixels are looked at."""
LEAST_WHOLE = 0.85
"""Correlation of pixels from which two images are near duplicates."""
LEAST_DETAIL = {"near": 0.6, "mirrored": 0.8}
"""And that of their detail. Pairs that are mirrored by chance are as many, and real ones rarer: hence more is asked."""
EMBEDDING_LIMITS = {"nearness": 0.5, "pixels": 0.7, "detail": 0.3}
"""What pairs need that a network finds: their distance as a share of that to the fifth nearest, at most; correlations
of pixels and detail, at least. See `embedding_duplicates`."""
_SMALLEST_PX = 8


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that are alike.

    Attributes:
        kind: `exact` for equal pixels, `near` for alike ones, `mirrored` if the one is like the other's mirror image,
            `embedding` if it was the network of a run that found them.
        splits: of both.
        positions: of both, in their splits.
        index: what both are called for good.
        labels: class names of both.
        whole: correlation of their pixels, at the best small shift; 1 if they are equal.
        detail: the same without what is smooth.
        cosine: of the angle between their embeddings, if a run was asked.
    """

    kind: Kind
    splits: tuple[str, str]
    positions: tuple[int, int]
    index: tuple[int, int]
    labels: tuple[str, str]
    whole: float
    detail: float
    cosine: float | None = None

    @property
    def has_two_labels(self) -> bool:
        """Whether the same picture is said to be of two classes: one of the labels is wrong, or both fit."""
        return self.labels[0] != self.labels[1]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        first, second = (
            {"split": split, "position": position, "index": index, "label": label}
            for split, position, index, label in zip(self.splits, self.positions, self.index, self.labels, strict=True)
        )
        return {
            "kind": self.kind,
            "first": first,
            "second": second,
            "has_two_labels": self.has_two_labels,
            "correlation": self.whole,
            "detail_correlation": self.detail,
            "cosine": self.cosine,
        }


@dataclass(frozen=True)
class Duplicates:
    """The duplicates of a dataset.

    Attributes:
        pairs: the exact ones, then the others, the most alike first; an image may be in several.
        is_near: whether near ones were looked for.
        n: images of each split.
        by_embeddings: pairs that are not among these, and that a run's network found; None if no run was asked.
    """

    pairs: tuple[DuplicatePair, ...]
    is_near: bool
    n: dict[str, int]
    by_embeddings: tuple[DuplicatePair, ...] | None = None

    def between(self, first: str, second: str) -> tuple[DuplicatePair, ...]:
        """Give the pairs of two splits, in whichever order, or those within one if both are the same."""
        return _select(self.pairs, first, second)

    def count_images(self, split: str, other: str) -> int:
        """Count the images of a split that have a duplicate in the other split, or in the same one."""
        return len(
            {
                position
                for pair in self.between(split, other)
                for name, position in zip(pair.splits, pair.positions, strict=True)
                if name == split
            }
        )

    def counts(self) -> list[dict[str, Any]]:
        """Count, for each two splits and each kind, the pairs and those with two labels."""
        names = list(self.n)
        found = []
        for first, second in [*((name, name) for name in names), *combinations(names, 2)]:
            pairs = self.between(first, second)
            kinds = Counter(pair.kind for pair in pairs)
            found.append(
                {
                    "splits": [first, second],
                    **{kind: kinds[kind] for kind in ("exact", "near", "mirrored")},
                    "with_two_labels": sum(pair.has_two_labels for pair in pairs),
                    "images": [self.count_images(first, second), self.count_images(second, first)],
                }
            )
            if self.by_embeddings is not None:
                found[-1]["embedding"] = len(_select(self.by_embeddings, first, second))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "looked_for": ["exact", "near", "mirrored"] if self.is_near else ["exact"],
            "thresholds": {
                "thumbnails": LEAST_ALIKE,
                "pixels": LEAST_WHOLE,
                "detail": LEAST_DETAIL,
                "embedding": EMBEDDING_LIMITS,
            },
            "counts": self.counts(),
            "pairs": [pair.to_dict() for pair in self.pairs],
            "by_embeddings": None if self.by_embeddings is None else [pair.to_dict() for pair in self.by_embeddings],
        }


def find_duplicates(dataset: Dataset, *, near: bool = True) -> Duplicates:
    """Find images that are there twice in a dataset.

    Exact ones have equal pixels. Near ones are found among all pairs, of which each is compared, by thumbnails of 8 x 8
    pixels, and confirmed by pixels, allowing for another light or contrast, for shifts of up to 2 pixels, and for a
    mirror. Images without detail, such as constant ones, are found as exact ones alone.

    Args:
        dataset: its splits need the same image size for near duplicates.
        near: look for near ones, too.
    Raises:
        ConfigError: if near ones are wanted and the splits differ in size or channels, or images are below 8 pixels.
    """
    splits = {name: split for name, split in dataset.splits.items() if len(split)}
    pairs = _find_exact(splits)
    if near and splits:
        known = {_places(pair) for pair in pairs}
        pairs += [pair for pair in _find_near(dataset.name, splits) if _places(pair) not in known]
    return Duplicates(tuple(pairs), near, {name: len(split) for name, split in dataset.splits.items()})


def _select(pairs: tuple[DuplicatePair, ...], first: str, second: str) -> tuple[DuplicatePair, ...]:
    return tuple(pair for pair in pairs if sorted(pair.splits) == sorted((first, second)))


def _places(pair: DuplicatePair) -> tuple[tuple[str, str], tuple[int, int]]:
    return pair.splits, pair.positions


def _find_exact(splits: dict[str, ImageSplit]) -> list[DuplicatePair]:
    """Group images by a hash of their pixels; each is paired with the first of its group, so n of them make n - 1."""
    groups: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, split in splits.items():
        shape = str(tuple(split.images.shape[1:])).encode()
        for position, pixels in enumerate(split.images.cpu().flatten(1).numpy()):
            groups[hashlib.blake2b(pixels.data, digest_size=16, key=shape).digest()].append((name, position))
    found = []
    for members in groups.values():
        for name, position in members[1:]:
            found.append(make_pair("exact", splits, members[0], (name, position), 1.0, 1.0))
    return found


def _find_near(name: str, splits: dict[str, ImageSplit]) -> list[DuplicatePair]:
    shapes = {tuple(split.images.shape[1:]) for split in splits.values()}
    if len(shapes) > 1:
        told = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise ConfigError(name, f"has splits of {told}, which near duplicates cannot bridge", "give an image size")
    if min(next(iter(shapes))[1:]) < _SMALLEST_PX:
        raise ConfigError(name, f"has images below {_SMALLEST_PX} pixels", "look for exact duplicates alone")
    images = torch.cat([split.images.cpu() for split in splits.values()])
    owners = [(split, position) for split, part in splits.items() for position in range(len(part))]
    found: dict[tuple[int, int], tuple[float, float, Kind]] = {}
    thumbnails = make_thumbnails(images)
    with progress_bar("looking for duplicates", 2 * len(images), "images") as show:
        for is_mirrored in (False, True):
            partners = make_thumbnails(images.flip(3)) if is_mirrored else thumbnails
            begun = len(images) * is_mirrored
            pairs = find_alike(thumbnails, partners, LEAST_ALIKE, lambda done, note="", b=begun: show(b + done, note))
            for place, whole, detail in _confirm(images, pairs, is_mirrored=is_mirrored):
                if whole > found.get(place, (0.0,))[0]:
                    found[place] = (whole, detail, "mirrored" if is_mirrored else "near")
    ranked = sorted(found.items(), key=lambda entry: (-entry[1][0], entry[0]))
    return [
        make_pair(kind, splits, owners[first], owners[second], whole, detail)
        for (first, second), (whole, detail, kind) in ranked
    ]


def _confirm(
    images: UInt8[Tensor, "n c h w"], pairs: Int64[Tensor, "m 2"], *, is_mirrored: bool
) -> list[tuple[tuple[int, int], float, float]]:
    whole, detail = correlate_pixels(images, pairs, is_mirrored=is_mirrored)
    least_detail = LEAST_DETAIL["mirrored" if is_mirrored else "near"]
    kept = ((whole >= LEAST_WHOLE) & (detail >= least_detail)).nonzero().flatten()
    return [
        ((first, second), of_whole, of_detail)
        for (first, second), of_whole, of_detail in zip(
            pairs[kept].tolist(), whole[kept].tolist(), detail[kept].tolist(), strict=True
        )
    ]


def make_pair(
    kind: Kind,
    splits: dict[str, ImageSplit],
    first: tuple[str, int],
    second: tuple[str, int],
    whole: float,
    detail: float,
    cosine: float | None = None,
) -> DuplicatePair:
    """Name two images of a dataset, each given by its split and position there, with what is known of them."""
    (split, position), (other, other_position) = first, second
    a, b = splits[split], splits[other]
    return DuplicatePair(
        kind=kind,
        splits=(split, other),
        positions=(position, other_position),
        index=(int(a.index[position]), int(b.index[other_position])),
        labels=(a.classes[int(a.labels[position])], b.classes[int(b.labels[other_position])]),
        whole=whole,
        detail=detail,
        cosine=cosine,
    )
