"""`find_duplicates`: exact, near and mirrored duplicates, within a split and between splits."""

import hashlib
from functools import partial

from jaxtyping import Int64
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
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.neighbour_index import NeighbourIndex, is_searched_exactly, tell_of_slow_search
from visionlib.inspection.similarity import (
    correlate_pixels,
    find_similar,
    find_similar_by_index,
    make_thumbnails,
    mirror_thumbnails,
)
from visionlib.progress import progress_bar

_MIN_SIDE_PX = 8
_HASHED_AT_ONCE = 4096


def find_duplicates(dataset: Dataset, *, near: bool = True) -> Duplicates:
    """Find images that occur more than once in a dataset.

    Exact duplicates have equal pixels. Near duplicates are searched by thumbnails of 8 x 8 pixels, and confirmed by
    their pixels. They may differ in brightness and contrast, by mirroring, and by a pixel's shift; of those shifted by
    two pixels few have similar thumbnails. Images without detail, such as constant ones, are only found as exact
    duplicates.

    For up to 92,682 images all pairs of thumbnails are compared. Above, an index finds the 32 most similar thumbnails
    of each image; docs/scaling.md has its recall.

    Args:
        dataset: for near duplicates, its splits need the same image size.
        near: search near and mirrored ones, too.
    Raises:
        ConfigError: if `near` is set, and the splits differ in size or channels or images are below 8 pixels.
    """
    filled = JoinedSplits({name: split for name, split in dataset.splits.items() if len(split)})
    pairs = _find_exact(filled)
    is_exhaustive = True
    if near and len(filled):
        _check_sizes(dataset.name, filled.splits)
        known = {(pair.splits, pair.positions) for pair in pairs}
        near_pairs, is_exhaustive = _find_near(filled)
        pairs += [pair for pair in near_pairs if (pair.splits, pair.positions) not in known]
    n = {name: len(split) for name, split in dataset.splits.items()}
    return Duplicates(tuple(pairs), near, n, is_exhaustive=is_exhaustive)


def _find_exact(images: JoinedSplits) -> list[DuplicatePair]:
    """Group images by a hash of their pixels, and pair each with the first of its group: n images make n - 1 pairs."""
    first_of: dict[bytes, int] = {}
    pairs = []
    row = 0
    for part in images.chunks(_HASHED_AT_ONCE):
        shape = str(tuple(part.shape[1:])).encode()
        for pixels in part.flatten(1).numpy():
            digest = hashlib.blake2b(pixels.data, digest_size=16, key=shape).digest()
            first = first_of.setdefault(digest, row)
            if first != row:
                pairs.append((first, row))
            row += 1
    return [make_pair("exact", images, pair, 1.0, 1.0) for pair in sorted(pairs)]


def _check_sizes(name: str, splits: dict[str, ImageSplit]) -> None:
    shapes = {tuple(split.images.shape[1:]) for split in splits.values()}
    if len(shapes) > 1:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise ConfigError(name, f"has splits of {sizes}, which near duplicates cannot bridge", "give an image size")
    if min(next(iter(shapes))[1:]) < _MIN_SIDE_PX:
        raise ConfigError(name, f"has images below {_MIN_SIDE_PX} pixels", "look for exact duplicates alone")


def _find_near(images: JoinedSplits) -> tuple[list[DuplicatePair], bool]:
    """Find the near and mirrored ones; return also whether all pairs of thumbnails were compared."""
    matches: dict[tuple[int, int], tuple[float, float, Kind]] = {}
    thumbnails = make_thumbnails(images)
    n, width = thumbnails.shape
    n_pairs = n * (n - 1) // 2
    is_exhaustive = is_searched_exactly(n_pairs)
    if is_exhaustive:
        tell_of_slow_search(n_pairs, width)
    before = 0 if is_exhaustive else n  # an index is filled first
    with progress_bar("looking for duplicates", before + 2 * n, "images") as show:
        search = find_similar if is_exhaustive else partial(find_similar_by_index, NeighbourIndex(thumbnails, show))
        for is_mirrored in (False, True):
            partners = mirror_thumbnails(thumbnails) if is_mirrored else thumbnails
            offset = before + n * is_mirrored
            pairs = search(
                thumbnails, partners, MIN_THUMBNAIL_CORRELATION, lambda done, note="", o=offset: show(o + done, note)
            )
            for pair, correlation, detail in _confirm(images, pairs, is_mirrored=is_mirrored):
                if correlation > matches.get(pair, (0.0,))[0]:
                    matches[pair] = (correlation, detail, "mirrored" if is_mirrored else "near")
    ranked = sorted(matches.items(), key=lambda match: (-match[1][0], match[0]))
    pairs_found = [make_pair(kind, images, pair, correlation, detail) for pair, (correlation, detail, kind) in ranked]
    return pairs_found, is_exhaustive


def _confirm(
    images: JoinedSplits, pairs: Int64[Tensor, "m 2"], *, is_mirrored: bool
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
