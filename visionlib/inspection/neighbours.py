"""`find_neighbours`: for every test image the training images with the most similar embeddings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data import Dataset
from visionlib.data.sources import Sources, name_sources
from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.run_sources import load_sources
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.neighbour_index import is_searched_exactly
from visionlib.inspection.split_embeddings import SplitEmbeddings, embed_split, read_hashes, to_arrays, to_tensors
from visionlib.models.model_record import load_record
from visionlib.progress import progress_bar
from visionlib.runs import Run
from visionlib.runs.results import load_result, save_result

_FILE = "neighbours-test.json"


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training images of test images, by the cosine distance of their embeddings, nearest first.

    Attributes:
        index: stable ids of the test images.
        labels: of the test images, as positions in `classes`.
        predictions: of the test images, as positions in `classes`.
        positions: of the neighbours in the training split.
        neighbour_index: stable ids of the neighbours.
        neighbour_labels: positions in `classes`.
        distances: 1 minus the cosine, from 0 to 2.
        classes: class names.
        sources: files that the test images were read from, by their stable ids; None if they are not known.
        training_sources: likewise of the training images.
        is_exact: whether all pairs were compared; otherwise an index found them, and missed a few.
    """

    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    positions: Int64[Tensor, "n k"]
    neighbour_index: Int64[Tensor, "n k"]
    neighbour_labels: Int64[Tensor, "n k"]
    distances: Float32[Tensor, "n k"]
    classes: tuple[str, ...]
    sources: Sources | None = None
    training_sources: Sources | None = None
    is_exact: bool = True

    def __len__(self) -> int:
        return len(self.index)

    @property
    def k(self) -> int:
        """Neighbours of each image."""
        return self.positions.shape[1]

    @property
    def agreement(self) -> float | None:
        """Fraction of the neighbours that are labelled as the predicted class; None without images."""
        return self._measure_agreement(torch.ones(len(self), dtype=torch.bool))

    @property
    def agreement_when_right(self) -> float | None:
        """`agreement` over correctly predicted images; None if there are none."""
        return self._measure_agreement(self.predictions == self.labels)

    @property
    def agreement_when_wrong(self) -> float | None:
        """`agreement` over wrongly predicted images; None if there are none."""
        return self._measure_agreement(self.predictions != self.labels)

    @property
    def vote_accuracy(self) -> float | None:
        """Accuracy of a majority vote of the neighbours; a tie goes to the class of the nearest one."""
        if not len(self):
            return None
        votes = (self.neighbour_labels[:, :, None] == self.neighbour_labels[:, None, :]).sum(2)
        winners = self.neighbour_labels.gather(1, votes.argmax(1, keepdim=True))[:, 0]
        return (winners == self.labels).double().mean().item()

    def select(self, index: tuple[int, ...]) -> "Neighbours":
        """Select test images by their stable ids, in this order.

        Raises:
            ConfigError: if a test image does not exist; the message names the first.
        """
        rows = {image_id: row for row, image_id in enumerate(self.index.tolist())}
        absent = [image_id for image_id in index if image_id not in rows]
        if absent:
            problem = f"the test split of {len(self):,} images has none of that index"
            remedy = f"its indices go from {int(self.index.min())} to {int(self.index.max())}"
            raise ConfigError(f"image {absent[0]}", problem, remedy)
        selected = torch.tensor([rows[image_id] for image_id in index], dtype=torch.int64)
        tensors: dict[str, Any] = {
            name: value[selected] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **tensors)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the images as plain values for JSON."""
        return {
            "n": len(self),
            "k": self.k,
            "distance": "cosine",
            "is_exact": self.is_exact,
            "agreement": self.agreement,
            "agreement_when_right": self.agreement_when_right,
            "agreement_when_wrong": self.agreement_when_wrong,
            "vote_accuracy": self.vote_accuracy,
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Return each image with its neighbours as plain values for JSON."""
        return [
            {
                "index": int(self.index[row]),
                "source": name_sources(self.sources, self.index[row])[0],
                "class": self.classes[self.labels[row]],
                "predicted": self.classes[self.predictions[row]],
                "neighbours": [
                    {"index": int(index), "source": source, "class": self.classes[label], "distance": float(distance)}
                    for index, source, label, distance in zip(
                        self.neighbour_index[row],
                        name_sources(self.training_sources, self.neighbour_index[row]),
                        self.neighbour_labels[row],
                        self.distances[row],
                        strict=True,
                    )
                ],
            }
            for row in range(len(self))
        ]

    def save(self, run: Run) -> None:
        """Write `inspection/neighbours-test.npz` and its record.

        Raises:
            RunError: if the folder cannot be written.
        """
        save_result(run.inspection / _FILE, {**_expected_fields(run), **self.to_dict()}, arrays=to_arrays(self))

    def _measure_agreement(self, is_counted: Bool[Tensor, "n"]) -> float | None:
        if not bool(is_counted.any()):
            return None
        return (self.neighbour_labels == self.predictions[:, None])[is_counted].double().mean().item()


def find_neighbours(
    run: Run, k: int = 5, *, dataset: str | Path | Dataset | None = None, device: str = "auto"
) -> Neighbours:
    """Find the nearest training images of every test image, and store them in the run.

    The distance is 1 minus the cosine of the embeddings: from 0 to 2 for every network, hence comparable between runs.
    The Euclidean distance finds equally good neighbours, see docs/embeddings.md.

    Args:
        run: a finished run.
        k: neighbours per image.
        dataset: new location of the run's data, if it has moved; read only if no training embeddings are saved.
        device: of the prediction and the search, as in `TrainConfig.device`.
    Raises:
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        ConfigError: if k is out of range.
        DataError: if the data must be read and cannot be.
    """
    try:
        return load_neighbours(run, k)
    except RunError:
        test = embed_split(run, "test")
        train = embed_split(run, "train", dataset=dataset, device=device)
    with compute_environment(choose_compute(device)):
        result = match_neighbours(test, train, k)
    result.save(run)
    return result


def match_neighbours(test: SplitEmbeddings, train: SplitEmbeddings, k: int) -> Neighbours:
    """Find the k nearest training images by the embeddings of both splits.

    Raises:
        ConfigError: if k is out of range.
    """
    if not 1 <= k <= len(train):
        raise ConfigError("neighbours", f"{k} is out of range", f"ask for 1 to {len(train)}")
    with progress_bar("looking for neighbours", len(test), "images") as show:
        positions, distances = find_nearest(test.embeddings, train.embeddings, k, show)
    return Neighbours(
        index=test.index,
        labels=test.labels,
        predictions=test.predictions,
        positions=positions,
        neighbour_index=train.index[positions],
        neighbour_labels=train.labels[positions],
        distances=distances,
        classes=test.classes,
        sources=test.sources,
        training_sources=train.sources,
        is_exact=is_searched_exactly(len(test) * len(train)),
    )


def load_neighbours(run: Run, k: int | None = None) -> Neighbours:
    """Read the neighbours stored in a run.

    Args:
        run: a finished run.
        k: neighbours per image; None accepts any number.
    Raises:
        RunError: if they are absent or damaged, or belong to other weights, data or another k.
    """
    names: dict[str, Any] = {
        "classes": load_record(run).classes,
        "sources": load_sources(run, "test"),
        "training_sources": load_sources(run, "train"),
    }
    expected = _expected_fields(run) if k is None else {**_expected_fields(run), "k": k}

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Neighbours:
        # `is_exact` is absent from records of older versions
        return Neighbours(**to_tensors(Neighbours, arrays), **names, is_exact=bool(record.get("is_exact", True)))

    return load_result(run.inspection / _FILE, expected, build, remedy="visionlib inspect")


def _expected_fields(run: Run) -> dict[str, Any]:
    return {**read_hashes(run, "test"), "training_hash": read_hashes(run, "train")["content_hash"]}
