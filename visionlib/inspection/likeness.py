"""How alike pictures are: thumbnails to find candidates among all pairs, and pixels to confirm them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.progress import Progress

_THUMBNAIL_PX = 8
_BLOCK = 1024
"""Rows that are compared with all others at a time: 60,000 images take 250 MB for it."""
_LARGEST_SHIFT_PX = 2
_DETAIL_PX = 5
"""Side of the neighbourhood whose mean is taken off each pixel, which leaves what is finer."""
_PAIRS_AT_ONCE = 512
_LEAST_LENGTH = 1e-3


def make_thumbnails(images: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "n d"]:
    """Shrink images to 8 x 8 pixels, take the mean of each off, and bring each to length 1.

    The product of two is then their correlation, which light and contrast do not change. What is constant has zeros.
    """
    parts = [
        F.adaptive_avg_pool2d(chunk.float(), _THUMBNAIL_PX).flatten(1)
        for chunk in torch.split(images, 4096)
        if len(chunk)
    ]
    flat = torch.cat(parts) if parts else torch.zeros(0, images.shape[1] * _THUMBNAIL_PX**2)
    return _normalize(flat)


def find_alike(
    thumbnails: Float32[Tensor, "n d"], partners: Float32[Tensor, "n d"], least: float, advance: Progress
) -> Int64[Tensor, "m 2"]:
    """Find all pairs i < j whose thumbnail i and partner j correlate by `least` or more, by comparing all.

    Args:
        thumbnails: of the images.
        partners: the same, or those of the mirrored images.
        least: a correlation.
        advance: is told how many images are done.
    """
    found = []
    for start in range(0, len(thumbnails), _BLOCK):
        rows = thumbnails[start : start + _BLOCK]
        alike = (rows @ partners[start:].T >= least).nonzero()
        found.append(alike[alike[:, 0] < alike[:, 1]] + start)
        advance(start + len(rows))
    return torch.cat(found) if found else torch.zeros(0, 2, dtype=torch.int64)


def correlate_pixels(
    images: UInt8[Tensor, "n c h w"],
    pairs: Int64[Tensor, "m 2"],
    *,
    is_mirrored: bool,
) -> tuple[Float32[Tensor, "m"], Float32[Tensor, "m"]]:
    """Correlate the pixels of pairs at the best shift of up to 2 pixels either way.

    Args:
        images: of a side of at least 8 pixels.
        pairs: positions of both.
        is_mirrored: mirror the second one first.
    Returns:
        The correlation of all pixels, the highest of all shifts; and that of the detail at this shift, which is what is
        left of each pixel without the mean of its 5 x 5 neighbours. Smooth pictures, such as skies, have the first in
        common and not the second.
    """
    parts = [_correlate(*_load(images, chunk, is_mirrored=is_mirrored)) for chunk in torch.split(pairs, _PAIRS_AT_ONCE)]
    if not pairs.numel():
        return torch.zeros(0), torch.zeros(0)
    whole, detail = zip(*parts, strict=True)
    return torch.cat(whole), torch.cat(detail)


def _load(
    images: UInt8[Tensor, "n c h w"], pairs: Int64[Tensor, "m 2"], *, is_mirrored: bool
) -> tuple[Float32[Tensor, "m c h w"], Float32[Tensor, "m c h w"]]:
    first, second = images[pairs[:, 0]].float(), images[pairs[:, 1]].float()
    return first, second.flip(3) if is_mirrored else second


def _correlate(
    first: Float32[Tensor, "m c h w"], second: Float32[Tensor, "m c h w"]
) -> tuple[Float32[Tensor, "m"], Float32[Tensor, "m"]]:
    height, width = first.shape[2:]
    margin = _LARGEST_SHIFT_PX

    def cut(images: Tensor, down: int, right: int) -> Tensor:
        part = images[:, :, margin + down : height - margin + down, margin + right : width - margin + right]
        return _normalize(part.flatten(1))

    fine_first, fine_second = _take_detail(first), _take_detail(second)
    middle, fine_middle = cut(first, 0, 0), cut(fine_first, 0, 0)
    whole = torch.stack([(middle * cut(second, *shift)).sum(1) for shift in _shifts()])
    detail = torch.stack([(fine_middle * cut(fine_second, *shift)).sum(1) for shift in _shifts()])
    best = whole.max(0)
    return best.values, detail.gather(0, best.indices[None])[0]


def _shifts() -> Iterator[tuple[int, int]]:
    reach = range(-_LARGEST_SHIFT_PX, _LARGEST_SHIFT_PX + 1)
    return ((down, right) for down in reach for right in reach)


def _take_detail(images: Float32[Tensor, "m c h w"]) -> Float32[Tensor, "m c h w"]:
    reach = _DETAIL_PX // 2
    around = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return images - F.avg_pool2d(around, _DETAIL_PX, stride=1)


def _normalize(flat: Float32[Tensor, "n d"]) -> Float32[Tensor, "n d"]:
    flat = flat - flat.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    return torch.where(length > _LEAST_LENGTH, flat / length, 0.0)
