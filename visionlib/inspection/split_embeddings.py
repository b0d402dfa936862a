"""Embeddings of a split: the inputs of the last linear layer of a run's network, with its predictions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float16, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data import Dataset
from visionlib.data.sources import Sources
from visionlib.errors import RunError
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_sources import load_sources
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_config
from visionlib.runs.arrays import check_shapes
from visionlib.runs.results import load_result, save_result


@dataclass(frozen=True, eq=False)
class SplitEmbeddings:
    """The penultimate layer's activations for every image of a split, in the split's order.

    Logits are left out on purpose: those of training images are in-sample and overconfident.

    Attributes:
        split: name of the split.
        index: stable image ids.
        labels: positions in `classes`.
        predictions: positions in `classes`.
        embeddings: a row per image; every value is finite.
        classes: class names.
        weights_sha256: of the network's weights.
        content_hash: of the split.
        sources: files that the images were read from, by their stable ids; None if they are not known.
    """

    split: str
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    embeddings: Float16[Tensor, "n d"]
    classes: tuple[str, ...]
    weights_sha256: str
    content_hash: str
    sources: Sources | None = None

    def __len__(self) -> int:
        return len(self.index)

    def save(self, run: Run) -> None:
        """Write `inspection/SPLIT.npz` and its record.

        Raises:
            RunError: if the folder cannot be written.
        """
        record = {"split": self.split, "weights_sha256": self.weights_sha256, "content_hash": self.content_hash}
        save_result(run.inspection / f"{self.split}.json", record, arrays=to_arrays(self))


def embed_split(
    run: Run,
    split: str = "test",
    *,
    dataset: str | Path | Dataset | None = None,
    batch_size: int = 250,
    device: str = "auto",
) -> SplitEmbeddings:
    """Return a split's embeddings: those of the test split from `predictions.npz`, others from `inspection`.

    The latter are predicted and saved if they are absent or belong to other weights.

    Args:
        run: a finished run.
        split: name of a split of the run's dataset.
        dataset: new location of the run's data, if it has moved; it must be the same data.
        batch_size: images per forward pass.
        device: of the prediction, as in `TrainConfig.device`.
    Raises:
        RunError: if the run is unfinished or damaged, or has no such split; if its network has no embeddings, or some
            are not finite; or if its data differs from the training data.
        DataError: if the data must be read and cannot be.
    """
    hashes = read_hashes(run, split)
    if split == "test":
        return _load_test(run)
    try:
        return load_embeddings(run, split)
    except RunError:
        images = load_run_data(run, dataset).split(split)
    model = TrainedModel.from_run(run, device=device)
    with compute_environment(choose_compute(device, model.precision)):
        outputs = model.predict(images.images, batch_size=batch_size)
    result = SplitEmbeddings(
        split=split,
        index=images.index.cpu(),
        labels=images.labels.cpu(),
        predictions=outputs.logits.argmax(1).cpu(),
        embeddings=_check_embeddings(run, outputs.embeddings).cpu(),
        classes=model.classes,
        sources=images.sources,
        **hashes,
    )
    result.save(run)
    return result


def load_embeddings(run: Run, split: str) -> SplitEmbeddings:
    """Read the embeddings stored in a run, of a split other than test.

    Raises:
        RunError: if they are absent or damaged, or belong to other weights or data.
    """
    classes, hashes = load_record(run).classes, read_hashes(run, split)
    sources = load_sources(run, split)

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SplitEmbeddings:
        return SplitEmbeddings(
            split=split, classes=classes, sources=sources, **to_tensors(SplitEmbeddings, arrays), **hashes
        )

    return load_result(run.inspection / f"{split}.json", hashes, build, remedy="visionlib inspect")


def read_hashes(run: Run, split: str) -> dict[str, Any]:
    """Read the hashes of a run's weights and of one of its splits; every saved result is checked against them.

    Raises:
        RunError: if the run is unfinished or damaged, or lacks the split.
    """
    splits = read_config(run).dataset.splits
    if split not in splits:
        problem = f"its dataset has no split {split!r}"
        raise RunError(run.path, problem, f"it has: {', '.join(splits)}", is_usage=True)
    return {"weights_sha256": load_record(run).weights_sha256, "content_hash": splits[split].content_hash}


def to_arrays(result: object) -> dict[str, NDArray[Any]]:
    """Return the tensors among a result's fields as arrays."""
    return {name: value.numpy() for name, value in vars(result).items() if isinstance(value, Tensor)}


def to_tensors(kind: type, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return arrays as the tensors of a result, which share their memory.

    Raises:
        FieldError: if one has another type or shape than the result declares.
    """
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    check_shapes(kind, tensors)
    return tensors


def _load_test(run: Run) -> SplitEmbeddings:
    stored = load_predictions(run)
    return SplitEmbeddings(
        "test",
        stored.index,
        stored.labels,
        stored.predictions.logits.argmax(1),
        _check_embeddings(run, stored.predictions.embeddings),
        stored.record.classes,
        stored.record.weights_sha256,
        stored.content_hash,
        stored.sources,
    )


def _check_embeddings(run: Run, embeddings: Float16[Tensor, "n d"] | None) -> Float16[Tensor, "n d"]:
    if embeddings is None:
        raise RunError(run.path, "its network ends in no linear layer and has no embeddings", "train another network")
    if not bool(embeddings.isfinite().all()):
        raise RunError(
            run.path, "its embeddings hold values beyond 65504 or no numbers", "the network is broken; train it again"
        )
    return embeddings
