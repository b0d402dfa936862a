"""A run's predictions of its test split or its held-out images: made once, stored, and read by every measure."""

import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Int64
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.data.augmentation import mirror_images
from visionlib.data.sources import Sources
from visionlib.errors import RunError
from visionlib.inference.device import Compute, choose_compute, compute_environment
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_sources import load_sources
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import ModelRecord, load_record
from visionlib.runs import Run, open_run, replacing
from visionlib.runs.arrays import fit_arrays, read_arrays
from visionlib.runs.fields import FieldError

LogitsKind = Literal["plain", "mirror-averaged"]
_LARGEST_LOGIT = 1e30
"""Sums of a few are finite in float32."""
_REMEDY = "make it again with `visionlib test --predict`"
_MIRRORED = 10_000
"""Images that are mirrored at a time; a multiple of any usual batch size."""


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """A network's outputs for a split, in the split's order.

    Attributes:
        logits: of the images.
        mirror_logits: of the images mirrored left to right.
        embeddings: inputs of the last linear layer; None for a network without one.
    """

    logits: Float32[Tensor, "n k"]
    mirror_logits: Float32[Tensor, "n k"]
    embeddings: Float16[Tensor, "n d"] | None

    def choose_logits(self, *, is_mirrored: bool) -> tuple[Float64[Tensor, "n k"], LogitsKind]:
        """Return the logits of the images, or their mean with those of the mirror images, and which these are."""
        if not is_mirrored:
            return self.logits.double(), "plain"
        # Added in their own precision, as `score_logits` does, so that the same class wins.
        return (self.logits + self.mirror_logits).double() / 2, "mirror-averaged"


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """Predictions that a run keeps, with the labels.

    Attributes:
        run: which keeps them.
        record: the network and its classes.
        predictions: logits of the images and of their mirror images.
        labels: classes of the images.
        index: stable image ids: positions in the source.
        content_hash: of the split.
        split: name of the split that `index` counts in.
    """

    run: Run
    record: ModelRecord
    predictions: SplitPredictions
    labels: Int64[Tensor, "n"]
    index: Int64[Tensor, "n"]
    content_hash: str
    split: str = "test"

    @cached_property
    def sources(self) -> Sources | None:
        """The files that the images were read from; None if the run does not know them.

        Raises:
            RunError: if their record is damaged.
        """
        return load_sources(self.run, self.split)

    def load_images(self, dataset: str | Path | Dataset | None = None) -> ImageSplit:
        """Load the test images that the predictions are of.

        Args:
            dataset: where the run's data lies now, if it has moved since.
        Raises:
            RunError: if the data is not what the run was trained with.
            DataError: if it cannot be read.
        """
        split = load_run_data(self.run, dataset).test
        if split.content_hash != self.content_hash:
            raise RunError(self.run.predictions, "is of other images than the run's data holds", _REMEDY)
        return split


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The arrays of `predictions.npz`, by their names."""

    index: Int64[np.ndarray, "n"]
    labels: Int64[np.ndarray, "n"]
    logits: Float32[np.ndarray, "n k"]
    mirror_logits: Float32[np.ndarray, "n k"]
    weights_sha256: str
    content_hash: str
    embeddings: Float16[np.ndarray, "n d"] | None = None


def predict_split(
    model: TrainedModel, split: ImageSplit, *, batch_size: int = 250, compute: Compute | None = None
) -> SplitPredictions:
    """Predict every image of a split, and its mirror image; by default with torch's number of threads."""
    with compute_environment(compute or choose_compute(str(model.device), model.precision)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "images: there are none")  # the numbers of a split tell their n
        plain = model.predict(split.images, batch_size=batch_size)
        blocks = torch.split(split.images, _MIRRORED)
        mirrored = [model.predict(mirror_images(block), batch_size=batch_size).logits for block in blocks]
    return SplitPredictions(plain.logits.cpu(), torch.cat(mirrored).cpu(), plain.embeddings)


def save_predictions(
    run: Run, predictions: SplitPredictions, split: ImageSplit, weights_sha256: str, *, file: Path | None = None
) -> None:
    """Write `predictions.npz`, or another file, with the hashes of the weights and of the images that it belongs to."""
    arrays = {
        "index": split.index.cpu().numpy(),
        "labels": split.labels.cpu().numpy(),
        "logits": predictions.logits.numpy(),
        "mirror_logits": predictions.mirror_logits.numpy(),
        "weights_sha256": np.array(weights_sha256),
        "content_hash": np.array(split.content_hash),
    }
    if predictions.embeddings is not None:
        arrays["embeddings"] = predictions.embeddings.cpu().numpy()
    with replacing(file or run.predictions) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load_predictions(run: Run | str | os.PathLike[str], *, file: Path | None = None) -> StoredPredictions:
    """Read a run's `predictions.npz`, or another file of that kind, and check it.

    Raises:
        RunError: if there is no such run, it is unfinished or damaged, or the predictions are absent, damaged or of
            other weights.
    """
    run = run if isinstance(run, Run) else open_run(run)
    record = load_record(run)
    file = file or run.predictions
    if not file.is_file():
        raise RunError(file, "the run lacks its predictions", _REMEDY)
    try:
        arrays = fit_arrays(_Arrays, read_arrays(file, remedy=_REMEDY))
    except FieldError as error:
        raise RunError(file, f"is damaged ({error})", _REMEDY) from error
    if arrays.weights_sha256 != record.weights_sha256:
        raise RunError(file, "was made with other weights", _REMEDY)
    if (arrays.index < 0).any():
        raise RunError(file, "is damaged (an index is negative)", _REMEDY)
    predictions = SplitPredictions(
        torch.from_numpy(arrays.logits),
        torch.from_numpy(arrays.mirror_logits),
        None if arrays.embeddings is None else torch.from_numpy(arrays.embeddings),
    )
    labels, index = torch.from_numpy(arrays.labels), torch.from_numpy(arrays.index)
    for logits in (predictions.logits, predictions.mirror_logits):
        check_predictions(logits, labels, record.classes)
        if len(logits) and float(logits.abs().max()) > _LARGEST_LOGIT:
            raise RunError(file, f"is damaged (a logit is beyond {_LARGEST_LOGIT:g})", _REMEDY)
    split = "train" if file == run.validation else "test"
    return StoredPredictions(run, record, predictions, labels, index, arrays.content_hash, split)


def check_predictions(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "m"], classes: tuple[str, ...]) -> None:
    """Refuse logits that do not fit labels and classes.

    Raises:
        RunError: if numbers of images or classes differ, a label is out of range, or a logit is not a number.
    """
    if len(logits) != len(labels):
        raise RunError("logits", f"are of {len(logits)} images for {len(labels)} labels", "use those of one split")
    remedy = "use the run's own data"
    if logits.shape[1] != len(classes):
        raise RunError("logits", f"have {logits.shape[1]} columns for {len(classes)} classes", remedy)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        span = f"are {int(labels.min())}..{int(labels.max())} for {len(classes)} classes"
        raise RunError("labels", span, remedy)
    if not bool(logits.isfinite().all()):
        raise RunError("logits", "hold values that are not numbers", "the network is broken; train it again")
