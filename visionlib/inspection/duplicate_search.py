"""`find_duplicates`: exact, near and mirrored duplicates, within a split and between splits."""

import hashlib
from collections import defaultdict

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.inspection.duplicates import (
    MIN_CORRELATION,
    MIN_DETAIL,
    MIN_THUMBNAIL_CORRELATION,
    DuplicatePair,
    Duplicates,
    Kind,
    make_pair,
)
from visionlib.inspection.similarity import correlate_pixels, find_similar, make_thumbnails
from visionlib.progress import progress_bar

_MIN_SIDE_PX = 8


def find_duplicates(dataset: Dataset, *, near: bool = True) -> Duplicates:
    """Find images that occur more than once in a dataset.

    Exact duplicates have equal pixels. Near duplicates are searched among all pairs by thumbnails of 8 x 8 pixels, and
    confirmed by their pixels. They may differ in brightness and contrast, by mirroring, and by a shift of up to 2
    pixels. Images without detail, such as constant ones, are only found as exact duplicates.

    Args:
        dataset: for near duplicates, its splits need the same image size.
        near: search near and mirrored ones, too.
    Raises:
        ConfigError: if `near` is set, and the splits differ in size or channels or images are below 8 pixels.
    """
    splits = {name: split for name, split in dataset.splits.items() if len(split)}
    pairs = _find_exact(splits)
    if near and splits:
        known = {(pair.splits, pair.positions) for pair in pairs}
        pairs += [pair for pair in _find_near(dataset.name, splits) if (pair.splits, pair.positions) not in known]
    return Duplicates(tuple(pairs), near, {name: len(split) for name, split in dataset.splits.items()})


def _find_exact(splits: dict[str, ImageSplit]) -> list[DuplicatePair]:
    """Group images by a hash of their pixels, and pair each with the first of its group: n images make n - 1 pairs."""
    groups: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, split in splits.items():
        shape = str(tuple(split.images.shape[1:])).encode()
        for position, pixels in enumerate(split.images.cpu().flatten(1).numpy()):
            groups[hashlib.blake2b(pixels.data, digest_size=16, key=shape).digest()].append((name, position))
    return [
        make_pair("exact", splits, members[0], member, 1.0, 1.0)
        for members in groups.values()
        for member in members[1:]
    ]


def _find_near(name: str, splits: dict[str, ImageSplit]) -> list[DuplicatePair]:
    shapes = {tuple(split.images.shape[1:]) for split in splits.values()}
    if len(shapes) > 1:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise ConfigError(name, f"has splits of {sizes}, which near duplicates cannot bridge", "give an image size")
    if min(next(iter(shapes))[1:]) < _MIN_SIDE_PX:
        raise ConfigError(name, f"has images below {_MIN_SIDE_PX} pixels", "look for exact duplicates alone")
    images = torch.cat([split.images.cpu() for split in splits.values()])
    owners = [(split, position) for split, part in splits.items() for position in range(len(part))]
    matches: dict[tuple[int, int], tuple[float, float, Kind]] = {}
    thumbnails = make_thumbnails(images)
    with progress_bar("looking for duplicates", 2 * len(images), "images") as show:
        for is_mirrored in (False, True):
            partners = make_thumbnails(images.flip(3)) if is_mirrored else thumbnails
            offset = len(images) * is_mirrored
            pairs = find_similar(
                thumbnails, partners, MIN_THUMBNAIL_CORRELATION, lambda done, note="", o=offset: show(o + done, note)
            )
            for pair, correlation, detail in _confirm(images, pairs, is_mirrored=is_mirrored):
                if correlation > matches.get(pair, (0.0,))[0]:
                    matches[pair] = (correlation, detail, "mirrored" if is_mirrored else "near")
    ranked = sorted(matches.items(), key=lambda match: (-match[1][0], match[0]))
    return [
        make_pair(kind, splits, owners[first], owners[second], correlation, detail)
        for (first, second), (correlation, detail, kind) in ranked
    ]


def _confirm(
    images: UInt8[Tensor, "n c h w"], pairs: Int64[Tensor, "m 2"], *, is_mirrored: bool
) -> list[tuple[tuple[int, int], float, float]]:
    """Select the pairs whose pixels and detail correlate, with both correlations."""
    correlations, details = correlate_pixels(images, pairs, is_mirrored=is_mirrored)
    is_match = (correlations >= MIN_CORRELATION) & (details >= MIN_DETAIL["mirrored" if is_mirrored else "near"])
    return [
        ((first, second), correlation, detail)
        for (first, second), correlation, detail in zip(
            pairs[is_match].tolist(), correlations[is_match].tolist(), details[is_match].tolist(), strict=True
        )
    ]
