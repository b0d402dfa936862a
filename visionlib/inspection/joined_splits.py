"""`JoinedSplits`: the images of all splits in one numbering, without a copy of them."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data import ImageSplit


class JoinedSplits:
    """Splits one after the other; a row is the number of an image in this order.

    Args:
        splits: by name; to be indexed, they need the same image size.
    """

    def __init__(self, splits: Mapping[str, ImageSplit]) -> None:
        self.splits = dict(splits)
        self._names = list(splits)
        self._starts = [0, *accumulate(len(split) for split in splits.values())]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, rows: Int64[Tensor, "m"]) -> UInt8[Tensor, "m c h w"]:
        """Copy the images of some rows, in the order of the rows."""
        parts = list(self.splits.values())
        images = torch.empty(len(rows), *parts[0].images.shape[1:], dtype=torch.uint8)
        for split, start in zip(parts, self._starts, strict=False):
            is_here = (rows >= start) & (rows < start + len(split))
            images[is_here] = split.images[(rows[is_here] - start).to(split.images.device)].cpu()
        return images

    def chunks(self, size: int) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        """Iterate over all images, up to so many at a time."""
        for split in self.splits.values():
            for part in torch.split(split.images, size) if len(split) else ():
                yield part.cpu()

    def locate(self, row: int) -> tuple[str, int]:
        """Return the split of a row, and the position there."""
        number = bisect_right(self._starts, row) - 1
        return self._names[number], row - self._starts[number]

    def row(self, split: str, position: int) -> int:
        """Return the row of an image."""
        return self._starts[self._names.index(split)] + position
