"""Runs that are made from weights trained elsewhere give the same outputs, and every command works on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.cli.processes import visionlib
from tests.data.containers import write_folder
from visionlib.data import Dataset
from visionlib.errors import ConfigError, ModelError, RunError, VisionlibError
from visionlib.evaluation import evaluate, load_predictions
from visionlib.inference.trained_model import TrainedModel
from visionlib.models import MODELS, build_model
from visionlib.models.initial_weights import open_weights
from visionlib.models.model_record import load_record
from visionlib.models.recognition import recognize_network
from visionlib.runs import Run, read_json
from visionlib.training import import_checkpoint, resume

State = dict[str, Tensor]
NUMBERS = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
TEN = tuple("abcdefghij")


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "parallel": lambda state: {"net": prefixed(state, "module."), "acc": 95.1, "epoch": 3},
    "compiled": lambda state: {"state_dict": prefixed(state, "_orig_mod."), "optimizer": {"state": {}, "lr": 0.1}},
    "lightning": lambda state: {"state_dict": prefixed(state, "model."), "global_step": 7},
    "nested": lambda state: {"model": {"state_dict": prefixed(state, "_orig_mod.module.")}},
    "ema": lambda state: {"state_dict_ema": state, "epoch": 1},
    "averaged": lambda state: {"n_averaged": torch.tensor(3), **prefixed(state, "module.")},
    "torchvision": lambda state: {name.replace("linear", "fc"): value for name, value in state.items()},
    "no counters": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
}


@pytest.fixture
def state(finished_run: Run) -> State:
    return load_file(finished_run.weights)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_outputs_of_the_run(
    layout: str, state: State, finished_run: Run, small_shapes: Dataset, tmp_path: Path
) -> None:
    torch.save(LAYOUTS[layout](state), tmp_path / "weights.pt")
    run = import_checkpoint(tmp_path / "weights.pt", dataset=small_shapes, out=tmp_path / "run")
    ours, theirs = (load_predictions(item).predictions.logits for item in (run, finished_run))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert load_record(run).model == "resnet20"
    assert evaluate(run).accuracy == evaluate(finished_run).accuracy


def test_half_precision_gives_nearly_the_same(
    state: State, finished_run: Run, small_shapes: Dataset, tmp_path: Path
) -> None:
    save_file({name: value.half() for name, value in state.items()}, tmp_path / "weights.safetensors")
    run = import_checkpoint(tmp_path / "weights.safetensors", dataset=small_shapes, out=tmp_path / "run")
    ours, theirs = (load_predictions(item).predictions.logits for item in (run, finished_run))
    assert torch.allclose(ours, theirs, atol=0.05)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in {"resnet110", "resnet1202", "resnet152"}])
def test_every_built_in_network_is_recognized(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in MODELS[name](7, 1).state_dict().items()}
    torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "weights.pt")
    assert recognize_network(open_weights(tmp_path / "weights.pt")) == name


def test_torchvision_names_of_a_resnet18_are_translated(tmp_path: Path) -> None:
    state = build_model("resnet18", classes=4).state_dict()
    foreign = {name.replace("shortcut", "downsample").replace("linear", "fc"): value for name, value in state.items()}
    torch.save(foreign, tmp_path / "weights.pt")
    half = (0.5,) * 3
    run = import_checkpoint(tmp_path / "weights.pt", classes=tuple("abcd"), mean=half, std=half, out=tmp_path / "run")
    kept = load_file(run.weights)
    assert all(torch.equal(kept[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, {"classes": ("a", "b"), **NUMBERS}, ConfigError, "has 2 names, and the network has 10"),
        ({}, {**NUMBERS}, ConfigError, "name 10 of them by --classes"),
        ({}, {"classes": TEN}, ConfigError, "mean, std: are not known"),
        ({}, {"classes": TEN, "mean": (0.5,) * 3}, ConfigError, "one of them is given alone"),
        ({}, {"classes": TEN, "mean": (0.5,), "std": (0.5,)}, ConfigError, "1 and 1 values for 3 channels"),
        ({}, {"classes": TEN, "mean": (125.0,) * 3, "std": (60.0,) * 3}, ConfigError, "fractions of 255"),
        ({}, {"classes": tuple("abcdefghii"), **NUMBERS}, ConfigError, "occurs twice"),
        ({"layer3.2.conv2.weight": None}, {}, ModelError, r"resnet20, and 1 tensors differ \(first layer3\.2\.conv2"),
        ({"extra.weight": torch.ones(2)}, {}, ModelError, r"closest is resnet20, and 1 tensors differ \(first extra"),
        ({}, {"model": "resnet32"}, ModelError, "missing"),
    ],
)  # fmt: skip
def test_contradictions_are_one_line_and_leave_nothing(
    change: dict[str, Any], arguments: Any, error: type[VisionlibError], message: str, state: State, tmp_path: Path
) -> None:
    changed = {name: value for name, value in {**state, **change}.items() if value is not None}
    torch.save(changed, tmp_path / "weights.pt")
    if error is ModelError:
        arguments = {"classes": TEN, **NUMBERS, **arguments}
    with pytest.raises(error, match=message) as caught:
        import_checkpoint(tmp_path / "weights.pt", out=tmp_path / "run", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_class_names_in_another_order_than_the_datasets_are_refused(
    state: State, small_shapes: Dataset, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "weights.pt")
    names = tuple(reversed(small_shapes.classes))
    with pytest.raises(ConfigError, match="number 0 is triangle by classes, and circle by the dataset"):
        import_checkpoint(tmp_path / "weights.pt", classes=names, dataset=small_shapes, out=tmp_path / "run")


def test_a_network_of_ones_own_is_imported_by_its_file(small_shapes: Dataset, tmp_path: Path) -> None:
    source = "from torch import nn\ndef tiny(num_classes=5):\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), "
    (tmp_path / "tiny.py").write_text(source + "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))\n")
    name = f"{tmp_path / 'tiny.py'}:tiny"
    network = build_model(name, classes=10, seed=3)
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "weights.pt")
    run = import_checkpoint(tmp_path / "weights.pt", name, dataset=small_shapes, out=tmp_path / "run")
    expected = TrainedModel(network, load_record(run).mean, load_record(run).std).predict(small_shapes.test.images)
    assert torch.allclose(load_predictions(run).predictions.logits, expected.logits.cpu(), atol=1e-5)


def test_a_run_without_data_asks_for_it(state: State, small_shapes: Dataset, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pt")
    run = import_checkpoint(
        tmp_path / "weights.pt",
        classes=small_shapes.classes,
        image_size=16,
        out=tmp_path / "run",
        mean=small_shapes.train.mean,
        std=small_shapes.train.std,
    )
    with pytest.raises(RunError, match="was imported without data; name it with --dataset"):
        evaluate(run)
    assert evaluate(run, dataset=small_shapes).n == 70
    other = Dataset("other", small_shapes.splits, tuple(reversed(small_shapes.classes)))
    with pytest.raises(RunError, match="name data of the same classes in the same order"):
        evaluate(run, dataset=other)
    with pytest.raises(RunError, match="was imported, and has no training; begin one with --init"):
        resume(run)
    assert read_json(run.config)["imported"]["sha256"] == open_weights(tmp_path / "weights.pt").sha256


def test_commands_work_on_an_imported_run(state: State, small_shapes: Dataset, tmp_path: Path) -> None:
    pictures = write_folder(small_shapes.splits, tmp_path / "pictures")
    torch.save({"net": prefixed(state, "module.")}, tmp_path / "weights.pt")
    run, weights = str(tmp_path / "run"), str(tmp_path / "weights.pt")
    made = visionlib("import", weights, "--dataset", pictures, "--image-size", "16", "--out", run, "--json")
    assert made.returncode == 0, made.stderr
    result = json.loads(made.stdout)
    assert (result["model"], result["test_n"], result["input_size"]) == ("resnet20", 70, [16, 16])
    for command in (["test"], ["mistakes"], ["report"], ["explain", "--n", "3"], ["features"]):
        done = visionlib(command[0], run, *command[1:])
        assert done.returncode == 0, done.stderr
    assert "Imported by" in (tmp_path / "run" / "report.html").read_text()
