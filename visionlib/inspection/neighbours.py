"""`find_neighbours`: for every test image the training images that look most alike to the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.trained_model import load_record
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.split_embeddings import SplitEmbeddings, embed_split, expect_of
from visionlib.runs import Run

_NAME = "neighbours-test"


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training images of test images, by the cosine distance of their embeddings, nearest first.

    Attributes:
        index: what each test image is called for good.
        labels: of the test images, as positions in `classes`.
        predictions: of the test images, as positions in `classes`.
        positions: of the neighbours in the training split.
        neighbour_index: what the neighbours are called for good.
        neighbour_labels: positions in `classes`.
        distances: 0 for the same direction, 1 for a right angle, 2 for the opposite.
        classes: class names.
    """

    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    positions: Int64[Tensor, "n k"]
    neighbour_index: Int64[Tensor, "n k"]
    neighbour_labels: Int64[Tensor, "n k"]
    distances: Float32[Tensor, "n k"]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def k(self) -> int:
        """Neighbours of each image."""
        return self.positions.shape[1]

    @property
    def agreement(self) -> float | None:
        """Share of the neighbours whose label is what the network predicted; None for no images."""
        return self._share_agreeing(torch.ones(len(self), dtype=torch.bool))

    @property
    def agreement_when_right(self) -> float | None:
        """The same over images that are predicted right; None if there are none."""
        return self._share_agreeing(self.predictions == self.labels)

    @property
    def agreement_when_wrong(self) -> float | None:
        """The same over images that are predicted wrong; None if there are none."""
        return self._share_agreeing(self.predictions != self.labels)

    @property
    def vote_accuracy(self) -> float | None:
        """Share of images whose label most of their neighbours have; of a tie the class of the nearest counts."""
        if not len(self):
            return None
        votes = (self.neighbour_labels[:, :, None] == self.neighbour_labels[:, None, :]).sum(2)
        winners = self.neighbour_labels.gather(1, votes.argmax(1, keepdim=True))[:, 0]
        return (winners == self.labels).double().mean().item()

    def of(self, index: tuple[int, ...]) -> "Neighbours":
        """Take the neighbours of some test images, in the order given.

        Args:
            index: what the images are called for good.
        Raises:
            ConfigError: if there is no such test image; the message names the first.
        """
        places = {name: place for place, name in enumerate(self.index.tolist())}
        for name in index:
            if name not in places:
                raise ConfigError(
                    f"image {name}",
                    f"the test split of {len(self):,} images has none of that index",
                    f"its indices go from {int(self.index.min())} to {int(self.index.max())}",
                )
        chosen = torch.tensor([places[name] for name in index], dtype=torch.int64)
        tensors = {name: value[chosen] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Neighbours(**tensors, classes=self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Give the figures, without the images, as plain values for JSON."""
        return {
            "n": len(self),
            "k": self.k,
            "distance": "cosine",
            "agreement": self.agreement,
            "agreement_when_right": self.agreement_when_right,
            "agreement_when_wrong": self.agreement_when_wrong,
            "vote_accuracy": self.vote_accuracy,
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Give each image with its neighbours as plain values for JSON."""
        return [
            {
                "index": int(self.index[row]),
                "class": self.classes[self.labels[row]],
                "predicted": self.classes[self.predictions[row]],
                "neighbours": [
                    {"index": int(index), "class": self.classes[label], "distance": float(distance)}
                    for index, label, distance in zip(
                        self.neighbour_index[row], self.neighbour_labels[row], self.distances[row], strict=True
                    )
                ],
            }
            for row in range(len(self))
        ]

    def _share_agreeing(self, chosen: Bool[Tensor, "n"]) -> float | None:
        if not bool(chosen.any()):
            return None
        return (self.neighbour_labels == self.predictions[:, None])[chosen].double().mean().item()


def find_neighbours(
    run: Run,
    k: int = 5,
    *,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> Neighbours:
    """Give the nearest training images of every test image; kept in the run, and made anew for other weights.

    By the cosine, since it lies between 0 and 2 for every network, and so means the same in any two runs; the Euclidean
    distance finds neighbours that are as good, see docs/embeddings.md.

    Args:
        run: a finished run.
        k: how many neighbours of each.
        dataset: where the run's data lies now, if it has moved since; read only if no training embeddings are kept.
        device: what to predict on, as in `TrainConfig.device`.
    Raises:
        RunError: if the run is unfinished or damaged, or its data is not what it was trained with.
        ConfigError: if k is out of range.
        DataError: if the data must be read and cannot be.
    """
    expected = {**_expect(run), "k": k}
    try:
        return _load(run, expected)
    except RunError:
        test = embed_split(run, "test")
        train = embed_split(run, "train", dataset=dataset, device=device)
    with compute_environment(choose_compute(device)):
        result = match_neighbours(test, train, k)
    arrays = {name: value.numpy() for name, value in vars(result).items() if isinstance(value, Tensor)}
    save_kept(run, _NAME, arrays, {**expected, **result.to_dict()})
    return result


def match_neighbours(test: SplitEmbeddings, train: SplitEmbeddings, k: int) -> Neighbours:
    """Find the nearest training images out of the embeddings of both splits.

    Raises:
        ConfigError: if k is out of range.
    """
    if not 1 <= k <= len(train):
        raise ConfigError("neighbours", f"{k} is out of range", f"ask for 1 to {len(train)}")
    positions, distances = find_nearest(test.embeddings, train.embeddings, k)
    return Neighbours(
        index=test.index,
        labels=test.labels,
        predictions=test.predictions,
        positions=positions,
        neighbour_index=train.index[positions],
        neighbour_labels=train.labels[positions],
        distances=distances,
        classes=test.classes,
    )


def _load(run: Run, expected: dict[str, Any]) -> Neighbours:
    record = load_record(run)
    return load_kept(run, _NAME, expected, lambda tensors, kept: Neighbours(**tensors, classes=record.classes))


def load_neighbours(run: Run) -> Neighbours:
    """Read the neighbours that a run keeps, however many of each image.

    Raises:
        RunError: if there are none, or they are damaged, or of other weights or data.
    """
    return _load(run, _expect(run))


def _expect(run: Run) -> dict[str, Any]:
    return {**expect_of(run, "test"), "training_hash": expect_of(run, "train")["content_hash"]}
