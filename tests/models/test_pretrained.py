"""Pretrained weights: a folder that is dropped in is known everywhere, and checked."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from visionlib.cli.summary import _build_subject
from visionlib.data import Dataset
from visionlib.errors import ModelError, RunError
from visionlib.models import build_model, list_pretrained, open_weights
from visionlib.models import pretrained as registry
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig, import_checkpoint, train

NAME = "resnet20-shapes"


@pytest.fixture
def dropped(
    finished_run: Run, small_shapes: Dataset, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of the registry, with one entry that the maker has made."""
    make: Callable[..., Path] = runpy.run_path(str(project_root / "bench/pretrain.py"))["make_pretrained"]
    monkeypatch.setitem(make.__globals__, "load_run_data", lambda run: small_shapes)
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "pretrained")
    assert list_pretrained() == ()
    make(finished_run, NAME, tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_what_is_dropped_in_is_listed_and_loaded_rounded(dropped: Path, finished_run: Run) -> None:
    assert list_pretrained() == (NAME,)
    network = build_model("resnet20", classes=10, pretrained=NAME)
    for name, value in load_file(finished_run.weights).items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(network.state_dict()[name], expected), name
    assert (dropped / NAME / "model.safetensors").stat().st_size < 0.6 * finished_run.weights.stat().st_size


def test_other_classes_get_a_head_by_the_seed(dropped: Path, finished_run: Run) -> None:
    network = build_model("resnet20", classes=3, pretrained=NAME)
    assert torch.equal(
        network.get_parameter("linear.weight"), build_model("resnet20", classes=3).get_parameter("linear.weight")
    )
    assert torch.equal(
        network.get_parameter("conv1.weight"), load_file(finished_run.weights)["conv1.weight"].half().float()
    )


def test_the_card_tells_data_accuracy_and_limits(dropped: Path, finished_run: Run) -> None:
    card = (dropped / NAME / "README.md").read_text()
    accuracy = read_json(finished_run.training)["test_accuracy"]
    config = read_json(finished_run.config)
    for words in (f"{accuracy:.2%} (", "n = 70", config["dataset"]["content_hash"], "Do not use it", "licence"):
        assert words in card
    assert json.loads(card.partition("```json\n")[2].partition("\n```")[0]) == config["config"]


@pytest.mark.parametrize("name", ["resnet20-shape", "cnn8-cifar10", "anything"])
def test_unknown_names_are_told_with_the_known(name: str, dropped: Path) -> None:
    with pytest.raises(
        ModelError, match=f"{name}: there are no pretrained weights .* choose from {NAME}, or name a run"
    ):
        build_model("resnet20", pretrained=name)


def test_an_empty_registry_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match="this installation has none; name a run or a weight file"):
        open_weights("cnn8-cifar10")


def test_weights_of_another_network_or_changed_weights_are_refused(dropped: Path) -> None:
    with pytest.raises(ModelError, match="are weights of resnet20, and not of resnet32; build that network"):
        build_model("resnet32", pretrained=NAME)
    file = dropped / NAME / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="do not have the SHA-256 of"):
        build_model("resnet20", pretrained=NAME)


def test_training_import_and_summary_take_the_name(
    dropped: Path, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(freeze=True, epochs=1), init=NAME, out=tmp_path / "run")
    assert read_json(run.config)["init"]["source"] == NAME
    imported = import_checkpoint(NAME, out=tmp_path / "imported", dataset=small_shapes)
    assert load_record(imported).mean == load_record(run).mean
    subject = _build_subject(NAME, None, None)
    assert (subject.name, subject.input_size, subject.run) == ("resnet20", (3, 16, 16), None)
    files = ["README.md", "evaluation.json", "model.json", "model.safetensors"]
    assert sorted(file.name for file in (dropped / NAME).iterdir()) == files


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from visionlib.models import list_pretrained; list_pretrained(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_entry_of_the_package_is_whole() -> None:
    for name in list_pretrained():
        weights: Any = open_weights(name)
        assert weights.classes
        build_model(weights.model, classes=len(weights.classes), channels=len(weights.mean), pretrained=name)


def test_the_name_of_the_data_stands_for_the_network_that_is_built_or_the_most_accurate(
    dropped: Path, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = build_model("resnet20", classes=10, pretrained=NAME).state_dict()
    by_data = build_model("resnet20", classes=10, pretrained="shapes").state_dict()
    assert all(torch.equal(by_data[name], value) for name, value in state.items())
    run = train(small_shapes, small_config.replace(freeze=True, epochs=1), init="shapes", out=tmp_path / "run")
    assert read_json(run.config)["init"]["path"] == str(dropped / NAME / "model.safetensors")
    with pytest.raises(ModelError, match="shapes: there are no pretrained weights of this name"):
        build_model("resnet32", pretrained="shapes")
    with pytest.raises(ModelError, match="shapes: there are no pretrained weights of this name"):
        open_weights("shapes")
    monkeypatch.setattr(registry, "MOST_ACCURATE", {"shapes": NAME})
    assert open_weights("shapes").path == dropped / NAME / "model.safetensors"
    assert _build_subject("shapes", None, None).name == "resnet20"
    with pytest.raises(ModelError, match="are weights of resnet20, and not of resnet32"):
        build_model("resnet32", pretrained="shapes")
