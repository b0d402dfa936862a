"""Embeddings of a split: what goes into the last layer of a run's network, and what the network makes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float16, Int64
from torch import Tensor

from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.prediction import predict
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_model, load_record
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.runs import Run, read_json
from visionlib.training.config import Precision


@dataclass(frozen=True, eq=False)
class SplitEmbeddings:
    """The penultimate layer's values for every image of a split, in the split's order.

    Logits are left out on purpose: of images that the network learned from they say how well it remembers them.

    Attributes:
        split: name of the split.
        index: what each image is called for good.
        labels: positions in `classes`.
        predictions: positions in `classes`.
        embeddings: a row per image; every value is finite.
        classes: class names.
        weights_sha256: of the weights that they come from.
        content_hash: of the split.
    """

    split: str
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    embeddings: Float16[Tensor, "n d"]
    classes: tuple[str, ...]
    weights_sha256: str
    content_hash: str

    def __len__(self) -> int:
        return len(self.index)


def embed_split(
    run: Run,
    split: str = "test",
    *,
    dataset: str | Path | Dataset | None = None,
    batch_size: int = 250,
    device: str = "auto",
) -> SplitEmbeddings:
    """Give a split's embeddings: those of the test split out of `predictions.npz`, others out of `inspection`.

    Where none are kept for another split, or they are of other weights, its images are predicted once and kept.

    Args:
        run: a finished run.
        split: a split that the run's dataset has.
        dataset: where the run's data lies now, if it has moved since; it must be the same data.
        batch_size: images at a time when predicting.
        device: what to predict on, as in `TrainConfig.device`.
    Raises:
        RunError: if the run is unfinished or damaged, has no such split, or its network has no embeddings that can be
            used; or the data is not what it was trained with.
        DataError: if the data must be read and cannot be.
    """
    expected = expect_of(run, split)
    if split == "test":
        return _load_test(run)
    try:
        return _load_other(run, split, expected)
    except RunError:
        return _embed(run, split, dataset, batch_size=batch_size, device=device)


def expect_of(run: Run, split: str) -> dict[str, Any]:
    """Give the hashes of a run's weights and of one of its splits, which every kept result must agree with.

    Raises:
        RunError: if the run is unfinished or damaged, or has no such split.
    """
    splits = read_json(run.config)["dataset"]["splits"]
    if split not in splits:
        raise RunError(run.path, f"its dataset has no split {split!r}", f"it has: {', '.join(splits)}")
    return {"weights_sha256": load_record(run).weights_sha256, "content_hash": splits[split]["content_hash"]}


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
    )


def _load_other(run: Run, split: str, expected: dict[str, Any]) -> SplitEmbeddings:
    record = load_record(run)
    return load_kept(
        run,
        split,
        expected,
        lambda tensors, kept: SplitEmbeddings(split=split, classes=record.classes, **tensors, **expected),
    )


def _embed(
    run: Run, split: str, dataset: str | Path | Dataset | None, *, batch_size: int, device: str
) -> SplitEmbeddings:
    trained: Precision = "bf16" if read_json(run.config)["compute"]["precision"] == "bf16" else "fp32"
    images = load_run_data(run, dataset).split(split)
    compute = choose_compute(device, trained)
    model, record = load_model(run)
    with compute_environment(compute):
        found = predict(
            model.to(compute.device),
            images.images,
            mean=record.mean,
            std=record.std,
            side_px=record.input_size[0],
            batch_size=batch_size,
            precision=compute.precision,
        )
    result = SplitEmbeddings(
        split=split,
        index=images.index.cpu(),
        labels=images.labels.cpu(),
        predictions=found.logits.argmax(1).cpu(),
        embeddings=_check_embeddings(run, found.embeddings).cpu(),
        classes=record.classes,
        **expect_of(run, split),
    )
    names = ("index", "labels", "predictions", "embeddings")
    expected = expect_of(run, split)
    save_kept(run, split, {name: getattr(result, name).numpy() for name in names}, {"split": split, **expected})
    return result


def _check_embeddings(run: Run, embeddings: Float16[Tensor, "n d"] | None) -> Float16[Tensor, "n d"]:
    if embeddings is None:
        raise RunError(run.path, "its network ends in no linear layer and has no embeddings", "train another network")
    if not bool(embeddings.isfinite().all()):
        raise RunError(
            run.path, "its embeddings hold values beyond 65504 or no numbers", "the network is broken; train it again"
        )
    return embeddings
