"""Copies among pictures: quickly those in place, of many pictures; and all near duplicates of one, of few."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from visionlib.inspection.duplicates import MIN_CORRELATION, MIN_DETAIL, MIN_THUMBNAIL_CORRELATION
from visionlib.inspection.similarity import correlate_pixels, extract_detail, make_thumbnails, mirror_thumbnails

_LEAST_PX = 8
"""Of smaller pictures only those with equal pixels are copies."""
_BLOCK_ROWS = 1024
"""Images that are compared at a time, which takes 60 MB for colour images of 32 pixels."""
_LEAST_DETAIL_STD = 1.0
"""Of 255; detail below it is noise of compression."""


def find_equal(images: UInt8[Tensor, "n c h w"], new: Int64[Tensor, "m"]) -> set[tuple[int, int]]:
    """Find pairs of images whose pixels are equal, or whose detail correlates without a shift, also mirrored.

    These are copies in other compression, brightness or contrast, and frames of a still video. Detail is the difference
    from the mean of the 5 x 5 neighbourhood. Two matrix products find all pairs, of images alike as garments, too.

    Args:
        images: rows that are compared.
        new: positions, one of which is in each pair.
    Returns:
        Pairs of positions, each in order.
    """
    pairs = _match_rows(images.flatten(1), new)
    if min(images.shape[2:]) < _LEAST_PX:
        return pairs
    queries, has_detail = _direct_detail(images[new])
    for start in range(0, len(images), _BLOCK_ROWS):
        block = images[start : start + _BLOCK_ROWS]
        for partners in (block, block.flip(3)):
            directions, is_comparable = _direct_detail(partners)
            is_match = (queries @ directions.T >= MIN_DETAIL["mirrored"]) & has_detail[:, None] & is_comparable
            rows, others = is_match.nonzero(as_tuple=True)
            found = zip(new[rows].tolist(), (start + others).tolist(), strict=True)
            pairs |= {(min(pair), max(pair)) for pair in found if pair[0] != pair[1]}
    return pairs


def _direct_detail(images: UInt8[Tensor, "n c h w"]) -> tuple[Float32[Tensor, "n d"], Bool[Tensor, "n"]]:
    """Scale the detail of each image to length 1, and say which images have enough of it to be compared."""
    detail = extract_detail(images.float()).flatten(1)
    return F.normalize(detail), detail.std(1) >= _LEAST_DETAIL_STD


def _match_rows(rows: UInt8[Tensor, "n d"], new: Int64[Tensor, "m"]) -> set[tuple[int, int]]:
    """Find pairs of equal rows, each with the first of its kind."""
    first: dict[bytes, int] = {}
    is_new = set(new.tolist())
    pairs = [(first.setdefault(row.tobytes(), position), position) for position, row in enumerate(rows.numpy())]
    return {(one, other) for one, other in pairs if one < other and not is_new.isdisjoint((one, other))}


class CopyFinder:
    """Tells whether an image is a near duplicate of others, as `find_duplicates` defines it.

    Args:
        images: all of them.
    """

    def __init__(self, images: UInt8[Tensor, "n c h w"]) -> None:
        self._images = images
        self._has_detail = min(images.shape[2:]) >= _LEAST_PX
        if self._has_detail:
            thumbnails = make_thumbnails(images)
            self._thumbnails = thumbnails, mirror_thumbnails(thumbnails)

    def is_copy(self, position: int, others: Sequence[int]) -> bool:
        """Whether the image at a position is a near duplicate, mirrored or not, of one of the others."""
        if not self._has_detail or not others:
            return False
        rows = torch.tensor(others)
        for is_mirrored, thumbnails in zip((False, True), self._thumbnails, strict=True):
            close = rows[thumbnails[rows] @ self._thumbnails[0][position] >= MIN_THUMBNAIL_CORRELATION]
            pairs = torch.stack([torch.full_like(close, position), close], 1)
            if len(pairs):
                pixels, detail = correlate_pixels(self._images, pairs, is_mirrored=is_mirrored)
                least = MIN_DETAIL["mirrored" if is_mirrored else "near"]
                if bool(((pixels >= MIN_CORRELATION) & (detail >= least)).any()):
                    return True
        return False
