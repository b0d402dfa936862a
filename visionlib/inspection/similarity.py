"""Similarity of images: thumbnails to find candidates among all pairs, and pixels to confirm them."""

from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.neighbour_index import NeighbourIndex
from visionlib.progress import Progress

_THUMBNAIL_PX = 8
_BLOCK_ROWS = 1024
"""Rows that are compared with all others at a time; for 60,000 images this takes 250 MB."""
MOST_SIMILAR = 32
"""Images that an index names for each image: the ones with the most similar thumbnails."""
_CHUNK = 4096
_MAX_SHIFT_PX = 2
_SHIFTS = tuple(product(range(-_MAX_SHIFT_PX, _MAX_SHIFT_PX + 1), repeat=2))
_DETAIL_PX = 5
"""Side of the neighbourhood whose mean is subtracted from each pixel."""
_PAIRS_AT_ONCE = 512
_MIN_NORM = 1e-3


def make_thumbnails(images: UInt8[Tensor, "n c h w"] | JoinedSplits) -> Float32[Tensor, "n d"]:
    """Shrink images to 8 x 8 pixels, centre them, and scale them to norm 1; constant images become zeros.

    The dot product of two is their correlation, which does not depend on brightness and contrast.
    """
    chunks = images.chunks(_CHUNK) if isinstance(images, JoinedSplits) else torch.split(images, _CHUNK)
    return torch.cat([_standardize(F.adaptive_avg_pool2d(chunk.float(), _THUMBNAIL_PX).flatten(1)) for chunk in chunks])


def mirror_thumbnails(thumbnails: Float32[Tensor, "n d"]) -> Float32[Tensor, "n d"]:
    """Return the thumbnails of the mirrored images: what is averaged for a pixel is mirrored with it."""
    return thumbnails.reshape(len(thumbnails), -1, _THUMBNAIL_PX, _THUMBNAIL_PX).flip(3).flatten(1)


def find_similar(
    thumbnails: Float32[Tensor, "n d"], partners: Float32[Tensor, "n d"], min_correlation: float, advance: Progress
) -> Int64[Tensor, "m 2"]:
    """Find all pairs i < j with a minimum correlation of thumbnail i and partner j, by exhaustive search.

    Args:
        thumbnails: of the images.
        partners: the same, or those of the mirrored images.
        min_correlation: of a pair.
        advance: called with the number of images done.
    """
    parts = [torch.zeros(0, 2, dtype=torch.int64)]
    for start in range(0, len(thumbnails), _BLOCK_ROWS):
        rows = thumbnails[start : start + _BLOCK_ROWS]
        pairs = (rows @ partners[start:].T >= min_correlation).nonzero()
        parts.append(pairs[pairs[:, 0] < pairs[:, 1]] + start)
        advance(start + len(rows))
    return torch.cat(parts)


def find_similar_by_index(
    index: NeighbourIndex,
    thumbnails: Float32[Tensor, "n d"],
    partners: Float32[Tensor, "n d"],
    min_correlation: float,
    advance: Progress,
) -> Int64[Tensor, "m 2"]:
    """Find pairs as `find_similar` does, but for each partner among its 32 most similar thumbnails alone.

    Args:
        index: of the thumbnails.
        thumbnails: of the images.
        partners: the same, or those of the mirrored images.
        min_correlation: of a pair.
        advance: called with the number of images done.
    """
    n = len(thumbnails)
    parts = [torch.zeros(0, dtype=torch.int64)]
    for start in range(0, n, _BLOCK_ROWS):
        block = partners[start : start + _BLOCK_ROWS]
        found = index.search(block, min(MOST_SIMILAR + 1, n))  # with the image itself
        rows = torch.arange(start, start + len(block))[:, None].expand_as(found)
        correlations = torch.einsum("bcd,bd->bc", thumbnails[found.clamp(min=0)], block)
        is_kept = (correlations >= min_correlation) & (found >= 0) & (found != rows)
        first, second = found[is_kept], rows[is_kept]
        parts.append(torch.minimum(first, second) * n + torch.maximum(first, second))
        advance(start + len(block))
    pairs = torch.unique(torch.cat(parts))
    return torch.stack([pairs // n, pairs % n], 1)


def correlate_pixels(
    images: UInt8[Tensor, "n c h w"] | JoinedSplits, pairs: Int64[Tensor, "m 2"], *, is_mirrored: bool
) -> tuple[Float32[Tensor, "m"], Float32[Tensor, "m"]]:
    """Correlate the pixels of pairs at the best shift of up to 2 pixels per axis.

    Args:
        images: of a side of at least 8 pixels.
        pairs: positions of both.
        is_mirrored: mirror the second one first.
    Returns:
        The correlation of all pixels, the highest of all shifts; and at this shift that of the detail, each pixel minus
        the mean of its 5 x 5 neighbourhood. Smooth pictures, such as skies, share the first and not the second.
    """
    parts = []
    for chunk in torch.split(pairs, _PAIRS_AT_ONCE):
        first, second = images[chunk[:, 0]].float(), images[chunk[:, 1]].float()
        parts.append(_correlate(first, second.flip(3) if is_mirrored else second))
    correlations, details = zip(*parts, strict=True)
    return torch.cat(correlations), torch.cat(details)


def _correlate(
    first: Float32[Tensor, "m c h w"], second: Float32[Tensor, "m c h w"]
) -> tuple[Float32[Tensor, "m"], Float32[Tensor, "m"]]:
    height, width = first.shape[2:]
    margin = _MAX_SHIFT_PX

    def crop(images: Tensor, down: int, right: int) -> Tensor:
        part = images[:, :, margin + down : height - margin + down, margin + right : width - margin + right]
        return _standardize(part.flatten(1))

    fine_first, fine_second = extract_detail(first), extract_detail(second)
    middle, fine_middle = crop(first, 0, 0), crop(fine_first, 0, 0)
    correlations = torch.stack([(middle * crop(second, *shift)).sum(1) for shift in _SHIFTS])
    details = torch.stack([(fine_middle * crop(fine_second, *shift)).sum(1) for shift in _SHIFTS])
    best = correlations.max(0)
    return best.values, details.gather(0, best.indices[None])[0]


def extract_detail(images: Float32[Tensor, "m c h w"]) -> Float32[Tensor, "m c h w"]:
    """Subtract from each pixel the mean of its 5 x 5 neighbourhood; the border is repeated."""
    reach = _DETAIL_PX // 2
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return images - F.avg_pool2d(padded, _DETAIL_PX, stride=1)


def _standardize(flat: Float32[Tensor, "n d"]) -> Float32[Tensor, "n d"]:
    flat = flat - flat.mean(1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    return torch.where(norm > _MIN_NORM, flat / norm, 0.0)
