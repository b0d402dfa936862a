"""Stored predictions are those of the run's network, and are refused where they are damaged or of something else."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from visionlib.data import Dataset
from visionlib.data.augmentation import mirror_images
from visionlib.errors import RunError
from visionlib.inference import TrainedModel, choose_compute, load_predictions
from visionlib.inference.predictions import predict_split, save_predictions
from visionlib.models.model_record import load_record
from visionlib.runs import Run

Arrays = dict[str, NDArray[Any]]


def change(run: Run, edit: Callable[[Arrays], object]) -> None:
    """Change the arrays of `predictions.npz`, as a damaged or foreign file would have them."""
    with np.load(run.predictions, allow_pickle=False) as stored:
        arrays = dict(stored)
    edit(arrays)
    np.savez(run.predictions, allow_pickle=False, **arrays)


@pytest.mark.parametrize("is_path", [False, True])
def test_a_run_keeps_predictions_of_its_test_split(is_path: bool, finished_run: Run, small_shapes: Dataset) -> None:
    stored = load_predictions(str(finished_run.path) if is_path else finished_run)
    assert stored.run == finished_run
    assert stored.record == load_record(finished_run)
    assert torch.equal(stored.labels, small_shapes.test.labels)
    assert torch.equal(stored.index, small_shapes.test.index)
    assert stored.content_hash == small_shapes.test.content_hash
    model = TrainedModel.from_run(finished_run, device="cpu")
    plain = model.predict(small_shapes.test.images)
    torch.testing.assert_close(stored.predictions.logits, plain.logits)
    torch.testing.assert_close(stored.predictions.embeddings, plain.embeddings, rtol=1e-2, atol=1e-2)
    mirrored = model.predict(mirror_images(small_shapes.test.images))
    torch.testing.assert_close(stored.predictions.mirror_logits, mirrored.logits)


def test_logits_are_plain_or_averaged_with_those_of_the_mirror_images(finished_run: Run) -> None:
    predictions = load_predictions(finished_run).predictions
    logits, kind = predictions.choose_logits(is_mirrored=False)
    assert (kind, logits.dtype) == ("plain", torch.float64)
    assert torch.equal(logits, predictions.logits.double())
    logits, kind = predictions.choose_logits(is_mirrored=True)
    assert kind == "mirror-averaged"
    assert torch.equal(logits, (predictions.logits + predictions.mirror_logits).double() / 2)


def test_predictions_are_saved_and_read_back_to_the_bit(copied_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    model, split = TrainedModel.from_run(copied_run, device="cpu"), small_shapes.train
    threads = torch.get_num_threads()
    predictions = predict_split(model, split, batch_size=33, compute=choose_compute("cpu", threads=threads + 1))
    assert torch.get_num_threads() == threads
    file = tmp_path / "validation.npz"
    save_predictions(copied_run, predictions, split, load_record(copied_run).weights_sha256, file=file)
    stored = load_predictions(copied_run, file=file)
    assert stored.predictions.embeddings is not None
    assert predictions.embeddings is not None
    assert torch.equal(stored.predictions.logits, predictions.logits)
    assert torch.equal(stored.predictions.mirror_logits, predictions.mirror_logits)
    assert torch.equal(stored.predictions.embeddings, predictions.embeddings)
    assert torch.equal(stored.index, split.index)
    assert len(load_predictions(copied_run).labels) == 70  # the run's own file is another one


def test_predictions_without_embeddings_are_read(copied_run: Run) -> None:
    change(copied_run, lambda arrays: arrays.pop("embeddings"))
    assert load_predictions(copied_run).predictions.embeddings is None


def test_absent_and_unfinished_runs_are_errors(copied_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such run folder"):
        load_predictions(tmp_path / "absent")
    copied_run.predictions.unlink()
    with pytest.raises(RunError, match=r"predictions\.npz: the run lacks its predictions; make it again with `visionl"):
        load_predictions(copied_run)
    copied_run.model.unlink()
    with pytest.raises(RunError, match="the run did not finish"):
        load_predictions(copied_run)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.update(weights_sha256=np.array("0" * 64)), r"predictions\.npz: was made with other weights"),
        (lambda a: a.pop("mirror_logits"), r"predictions\.npz: is damaged \(mirror_logits is missing\)"),
        (lambda a: a.update(logits=a["logits"][1:]), r"logits is float32\[69, 10\], and must be float32\[n k\]"),
        (
            lambda a: a.update(index=a["index"][:3]),
            r"is damaged \(labels is int64\[70\], and must be int64\[n\], as those before it\)",
        ),
        (
            lambda a: a.update(embeddings=a["embeddings"][:5]),
            r"embeddings is float16\[5, 64\], and must be float16\[n d\]",
        ),
        (lambda a: a.update(labels=np.array(3)), r"is damaged \(labels is int64\[\], and must be int64\[n\]"),
        (lambda a: a.update(logits=a["logits"][:, 0]), r"logits is float32\[70\], and must be float32\[n k\]"),
        (lambda a: a.update(mirror_logits=a["mirror_logits"][:, :, None]), r"mirror_logits is float32\[70, 10, 1\]"),
        (lambda a: a.update({k: a[k][:, :4] for k in ("logits", "mirror_logits")}), "have 4 columns for 10 classes"),
        (lambda a: a["labels"].__setitem__(0, 10), r"labels: are 0\.\.10 for 10 classes"),
        (lambda a: a["labels"].__setitem__(0, -1), r"labels: are -1\.\.9 for 10 classes"),
        (lambda a: a["logits"].__setitem__((0, 0), np.nan), "hold values that are not numbers"),
        (lambda a: a["mirror_logits"].__setitem__((0, 0), np.inf), "hold values that are not numbers"),
    ],
)
def test_damaged_and_foreign_predictions_are_refused(
    edit: Callable[[Arrays], object], message: str, copied_run: Run
) -> None:
    change(copied_run, edit)
    with pytest.raises(RunError, match=message) as caught:
        load_predictions(copied_run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_file_that_is_no_archive_is_refused(content: bytes, copied_run: Run) -> None:
    copied_run.predictions.write_bytes(content)
    with pytest.raises(RunError, match=r"predictions\.npz: is damaged \(.*\); make it again"):
        load_predictions(copied_run)


def test_images_are_those_that_were_predicted(copied_run: Run, small_shapes: Dataset) -> None:
    stored = load_predictions(copied_run)
    split = stored.load_images(small_shapes)
    assert torch.equal(split.images, small_shapes.test.images)
    fewer = dataclasses.replace(stored, content_hash=small_shapes.train.content_hash)
    with pytest.raises(RunError, match=r"predictions\.npz: is of other images than the run's data holds"):
        fewer.load_images(small_shapes)
    other = dataclasses.replace(small_shapes, splits={"train": small_shapes.test, "test": small_shapes.train})
    with pytest.raises(RunError, match="was trained on other data than shapes holds now"):
        stored.load_images(other)
