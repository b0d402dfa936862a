"""`UnsurePictures`: the pictures of a long stream that a network is least sure of, none of them twice.

Requirements:

- Memory does not grow with the stream: a fixed number of pictures is kept, in 32 x 32 pixels.
- Of copies the most unsure one is kept. They are removed before pictures are counted, so that twenty frames of a still
  video do not take the places of twenty pictures. What takes longer to recognize is left to the choice among the kept
  ones, see `copies.py`.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from visionlib.inference import Predictions
from visionlib.inspection.copies import find_equal

_STORED_PX = 32


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pictures that may be chosen, row by row.

    Attributes:
        index: number of the picture in the stream, from 0.
        uncertainty: 1 less the difference of the two largest probabilities, from 0 to 1.
        top: the two likeliest classes.
        probabilities: of these.
        is_unusual: whether the picture is unlike anything in training; False where that cannot be told.
        embeddings: of the network; its probabilities if it has none.
        images: pixels of at most 32 x 32, to recognize copies.
    """

    index: Int64[Tensor, "n"]
    uncertainty: Float64[Tensor, "n"]
    top: Int64[Tensor, "n 2"]
    probabilities: Float64[Tensor, "n 2"]
    is_unusual: Bool[Tensor, "n"]
    embeddings: Float[Tensor, "n d"]
    images: UInt8[Tensor, "n c h w"]

    @classmethod
    def from_predictions(cls, first: int, predictions: Predictions, images: UInt8[Tensor, "n c h w"]) -> "Candidates":
        """Make candidates of a batch, whose first picture has the number `first`; of logits of two classes or more."""
        logits = predictions.logits.cpu().double().nan_to_num() / (predictions.temperature or 1.0)
        probabilities = logits.softmax(1)
        values, order = probabilities.sort(dim=1, descending=True, stable=True)
        known = predictions.embeddings
        unusual = predictions.is_unusual or [False] * len(images)
        return cls(
            index=first + torch.arange(len(images)),
            uncertainty=1 - values[:, 0] + values[:, 1],
            top=order[:, :2],
            probabilities=values[:, :2],
            is_unusual=torch.tensor(unusual, dtype=torch.bool),
            embeddings=probabilities.float() if known is None else known.cpu().float().nan_to_num(),
            images=_shrink(images.cpu()),
        )

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Int64[Tensor, "m"]) -> "Candidates":
        """Return the rows at these positions."""
        return Candidates(*(getattr(self, field.name)[positions] for field in fields(self)))

    def join(self, others: "Candidates") -> "Candidates":
        """Return the rows of both."""
        names = [field.name for field in fields(self)]
        return Candidates(*(torch.cat([getattr(self, name), getattr(others, name)]) for name in names))


class UnsurePictures:
    """Keeps the most unsure pictures, without copies.

    Args:
        limit: number of pictures to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: Candidates | None = None
        self.copies = 0
        """Pictures that were left out as copies of one that was kept then."""

    @property
    def kept(self) -> Candidates:
        """The pictures that were kept, the most unsure first.

        Raises:
            ValueError: if there was none yet, so that the sizes are not known.
        """
        if self._kept is None:
            raise ValueError("no picture was added")
        return self._kept

    def __len__(self) -> int:
        return 0 if self._kept is None else len(self._kept)

    def add(self, batch: Candidates) -> None:
        """Take the pictures of a batch that are less sure than the surest of those that were kept, and no copies."""
        kept = self._kept
        if kept is not None and len(kept) == self._limit:
            batch = batch.take((batch.uncertainty > kept.uncertainty[-1]).nonzero().flatten())
        if not len(batch):
            return
        joined = batch if kept is None else kept.join(batch)
        is_new = torch.arange(len(joined)) >= len(joined) - len(batch)
        order = joined.uncertainty.argsort(descending=True, stable=True)
        joined, is_new = joined.take(order), is_new[order]
        is_copy = _mark_copies(joined.images, is_new)
        self.copies += int(is_copy.sum())
        self._kept = joined.take((~is_copy).nonzero().flatten()[: self._limit])


def _shrink(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c _h _w"]:
    height, width = (min(side, _STORED_PX) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images.float(), (height, width)).round().to(torch.uint8)


def _mark_copies(images: UInt8[Tensor, "n c h w"], is_new: Bool[Tensor, "n"]) -> Bool[Tensor, "n"]:
    """Mark every image that is a copy of an earlier one that is none itself.

    Args:
        images: in order of preference.
        is_new: of two others it is known that they are no copies.
    """
    is_copy = [False] * len(images)
    for first, second in sorted(find_equal(images, is_new.nonzero().flatten())):
        is_copy[second] |= not is_copy[first]
    return torch.tensor(is_copy, dtype=torch.bool)
