"""What a network says of every image of a split: made once, kept in the run, read by everything that measures."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.data.augmentation import mirror_images
from visionlib.errors import RunError
from visionlib.models import predict
from visionlib.runs import Run, replacing
from visionlib.training.device import Compute, prepared_process
from visionlib.training.trained_model import ModelRecord


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """What a network says of a split, in the split's order.

    Attributes:
        logits: of the images as they are.
        mirror_logits: of the images mirrored left to right.
        embeddings: what goes into the last linear layer; None for a network that has none.
    """

    logits: Float32[Tensor, "n k"]
    mirror_logits: Float32[Tensor, "n k"]
    embeddings: Float16[Tensor, "n d"] | None


def predict_split(
    model: nn.Module, split: ImageSplit, record: ModelRecord, compute: Compute, *, batch_size: int = 250
) -> SplitPredictions:
    """Predict every image of a split, as it is and mirrored."""
    arguments: dict[str, Any] = {
        "mean": record.mean,
        "std": record.std,
        "side_px": record.input_size[0],
        "batch_size": batch_size,
        "precision": compute.precision,
    }
    with prepared_process(compute):
        plain = predict(model, split.images, **arguments)
        mirrored = predict(model, mirror_images(split.images), **arguments)
    return SplitPredictions(plain.logits.cpu(), mirrored.logits.cpu(), plain.embeddings)


def save_predictions(
    run: Run, predictions: SplitPredictions, split: ImageSplit, weights_hash: str, *, file: Path | None = None
) -> None:
    """Write `predictions.npz`, or another file, with the hashes of the weights and of the images that it belongs to."""
    arrays = {
        "index": split.index.cpu().numpy(),
        "labels": split.labels.cpu().numpy(),
        "logits": predictions.logits.numpy(),
        "mirror_logits": predictions.mirror_logits.numpy(),
        "weights_sha256": np.array(weights_hash),
        "content_hash": np.array(split.content_hash),
    }
    if predictions.embeddings is not None:
        arrays["embeddings"] = predictions.embeddings.cpu().numpy()
    with replacing(file or run.predictions) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load_predictions(
    run: Run, *, weights_hash: str, file: Path | None = None
) -> tuple[SplitPredictions, Int64[Tensor, "n"], str]:
    """Read `predictions.npz`, or another file: the predictions, the labels, and the content hash of the split.

    Raises:
        RunError: if the file is absent or damaged, or belongs to other weights than `weights_hash`.
    """
    file = file or run.predictions
    remedy = "make it again with `visionlib test --predict`"
    if not file.is_file():
        raise RunError(file, "the run lacks its predictions", remedy)
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if str(arrays["weights_sha256"]) != weights_hash:
                raise RunError(file, "was made with other weights", remedy)
            predictions = SplitPredictions(
                torch.from_numpy(arrays["logits"]),
                torch.from_numpy(arrays["mirror_logits"]),
                torch.from_numpy(arrays["embeddings"]) if "embeddings" in arrays else None,
            )
            return predictions, torch.from_numpy(arrays["labels"]), str(arrays["content_hash"])
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(file, f"is damaged ({error})", remedy) from error
