"""What a run says of its test images, out of its folder alone; and the images themselves, when they are to be seen."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, from_numpy

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import RunError
from visionlib.runs import Run, open_run
from visionlib.training.predictions import SplitPredictions, load_predictions
from visionlib.training.run_data import load_run_data
from visionlib.training.trained_model import ModelRecord, load_record

LogitsKind = Literal["plain", "mirror-averaged"]
_REMEDY = "make it again with `visionlib test --predict`"


@dataclass(frozen=True, eq=False)
class KeptPredictions:
    """A run's predictions for its test split, in the split's order.

    Attributes:
        run: where they lie.
        record: the network and its classes.
        predictions: logits of the images and of their mirror images.
        labels: classes of the images.
        index: what each image is called for good, its position in the source.
        content_hash: of the split.
    """

    run: Run
    record: ModelRecord
    predictions: SplitPredictions
    labels: Int64[Tensor, "n"]
    index: Int64[Tensor, "n"]
    content_hash: str


def read_kept_predictions(run: Run | str | os.PathLike[str]) -> KeptPredictions:
    """Read what a run has kept.

    Raises:
        RunError: if there is no such run, it is unfinished or damaged, or its predictions are absent, damaged or of
            other weights.
    """
    run = run if isinstance(run, Run) else open_run(run)
    record, weights_hash = load_record(run)
    predictions, labels, content_hash = load_predictions(run, weights_hash=weights_hash)
    try:
        with np.load(run.predictions, allow_pickle=False) as arrays:
            index = from_numpy(arrays["index"])
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(run.predictions, f"is damaged ({error})", _REMEDY) from error
    lengths = {len(predictions.logits), len(predictions.mirror_logits), len(labels), len(index)}
    if len(lengths) > 1:
        raise RunError(run.predictions, f"is damaged (its arrays have lengths {sorted(lengths)})", _REMEDY)
    check_predictions(predictions.logits, labels, record.classes)
    check_predictions(predictions.mirror_logits, labels, record.classes)
    return KeptPredictions(run, record, predictions, labels, index, content_hash)


def load_predicted_images(kept: KeptPredictions, dataset: str | Path | Dataset | None = None) -> ImageSplit:
    """Load the images that the predictions are of.

    Args:
        kept: a run's predictions.
        dataset: where the run's data lies now, if it has moved since.
    Raises:
        RunError: if the data is not what the run was trained with.
        DataError: if it cannot be read.
    """
    split = load_run_data(kept.run, dataset).test
    if split.content_hash != kept.content_hash:
        raise RunError(kept.run.predictions, "is of other images than the run's data holds", _REMEDY)
    return split


def choose_logits(predictions: SplitPredictions, *, is_mirrored: bool) -> tuple[Float64[Tensor, "n k"], LogitsKind]:
    """Give the logits of the images, or their mean with those of the mirror images, and say which."""
    if not is_mirrored:
        return predictions.logits.double(), "plain"
    # Added in their own precision, as `score_logits` does, so that the same class wins.
    return (predictions.logits + predictions.mirror_logits).double() / 2, "mirror-averaged"


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
        told = f"are {int(labels.min())}..{int(labels.max())} for {len(classes)} classes"
        raise RunError("labels", told, remedy)
    if not bool(logits.isfinite().all()):
        raise RunError("logits", "hold values that are not numbers", "the network is broken; train it again")
