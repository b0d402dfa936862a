"""Embeddings are what goes into the last layer, kept with the run and of its weights alone."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.inspection.conftest import EASY
from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inference.preprocessing import normalize_images, prepare_inputs
from visionlib.inference.run_model import load_model, save_model
from visionlib.inspection import embed_split
from visionlib.runs import Run
from visionlib.training import train


def test_training_embeddings_times_the_last_layer_are_the_logits(copied_run: Run, stripes: Dataset) -> None:
    found = embed_split(copied_run, "train", dataset=stripes)
    model, record = load_model(copied_run)
    with torch.no_grad():
        logits = model(normalize_images(stripes.train.images, record.mean, record.std))
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    again = last(found.embeddings.float())
    assert torch.allclose(again, logits, atol=0.02)
    assert found.predictions.equal(logits.argmax(1))
    assert found.index.equal(stripes.train.index)
    assert found.labels.equal(stripes.train.labels)
    assert (found.embeddings.dtype, len(found)) == (torch.float16, 240)


def test_a_network_that_works_on_shrunk_images_sees_them_shrunk(stripes: Dataset, tmp_path: Path) -> None:
    run = train(stripes, EASY.replace(epochs=1, resolutions=(0.5,)), out=tmp_path / "run")
    found = embed_split(run, "train", dataset=stripes)
    model, record = load_model(run)
    assert record.input_size[0] == 8
    with torch.no_grad():
        logits = model(prepare_inputs(stripes.train.images, record.mean, record.std, 8))
        whole = model(normalize_images(stripes.train.images, record.mean, record.std))
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    assert torch.allclose(last(found.embeddings.float()), logits, atol=0.02)
    assert not torch.allclose(logits, whole, atol=0.02)


def test_test_embeddings_are_those_that_training_left(copied_run: Run, stripes: Dataset) -> None:
    found = embed_split(copied_run)
    assert found.index.equal(stripes.test.index)
    assert found.content_hash == stripes.test.content_hash
    assert found.embeddings.shape == (120, 64)
    assert not copied_run.inspection.exists()


def test_training_images_are_predicted_once(copied_run: Run, stripes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed_split(copied_run, "train", dataset=stripes)
    monkeypatch.setattr("visionlib.inspection.split_embeddings.TrainedModel", None)
    second = embed_split(copied_run, "train")
    assert second.embeddings.equal(first.embeddings)
    assert second.predictions.equal(first.predictions)


def test_embeddings_of_other_weights_are_made_anew(copied_run: Run, stripes: Dataset) -> None:
    first = embed_split(copied_run, "train", dataset=stripes)
    model, record = load_model(copied_run)
    with torch.no_grad():
        next(model.parameters()).mul_(0.5).add_(0.1)
    weights_hash = save_model(copied_run, model, record).weights_sha256
    second = embed_split(copied_run, "train", dataset=stripes)
    assert second.weights_sha256 == weights_hash != first.weights_sha256
    assert not second.embeddings.equal(first.embeddings)
    with pytest.raises(RunError, match="was made with other weights; make it again with `visionlib test --predict`"):
        embed_split(copied_run)


def test_a_split_that_is_not_there_is_told(copied_run: Run) -> None:
    with pytest.raises(RunError, match="has no split 'dev'; it has: train, test"):
        embed_split(copied_run, "dev")


def test_embeddings_that_cannot_be_used_are_told(copied_run: Run, stripes: Dataset) -> None:
    model, record = load_model(copied_run)
    normalization = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    with torch.no_grad():
        assert normalization.weight is not None
        normalization.weight.fill_(1e9)
    save_model(copied_run, model, record)
    with pytest.raises(RunError, match="hold values beyond 65504 or no numbers"):
        embed_split(copied_run, "train", dataset=stripes)


def test_the_record_says_what_the_arrays_are_of(copied_run: Run, stripes: Dataset) -> None:
    embed_split(copied_run, "train", dataset=stripes)
    record = json.loads((copied_run.inspection / "train.json").read_text())
    assert record["content_hash"] == stripes.train.content_hash
    assert record["weights_sha256"] == json.loads(copied_run.model.read_text())["weights_sha256"]
