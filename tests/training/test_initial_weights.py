"""Trainings that begin with earlier weights, train the head alone, or the body at a smaller rate."""

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.training.interrupting import interrupt_after, same_weights, without_times
from tests.training.launching import settings, train_as
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.errors import ModelError, RunError
from visionlib.evaluation import measure_effective_fields
from visionlib.inference.run_model import load_model
from visionlib.models import build_model
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig, find_learning_rate, resume, train
from visionlib.training.optimizer import make_optimizer, set_rates

STILL = {"epochs": 1, "peak_learning_rate": 0.0, "weight_decay": 0.0}
"""Settings with which nothing is learned but the statistics."""


@pytest.fixture(scope="module")
def three(small_shapes: Dataset) -> Dataset:
    """The first three classes."""

    def take(name: str) -> Any:
        split = small_shapes.splits[name]
        kept = split.subset((split.labels < 3).nonzero()[:, 0])
        return dataclasses.replace(kept, classes=split.classes[:3])

    return Dataset("three shapes", {name: take(name) for name in ("train", "test")}, small_shapes.classes[:3])


def weights_of(run: Run) -> dict[str, Tensor]:
    return load_file(run.weights)


def statistics(name: str) -> bool:
    return name.rpartition(".")[2] in {"running_mean", "running_var", "num_batches_tracked"}


def test_a_run_begins_with_the_weights_of_another_and_a_new_head_for_other_classes(
    finished_run: Run, three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    run = train(three, small_config.replace(**STILL), init=finished_run, out=tmp_path / "run", log=lines.append)
    ours, theirs = weights_of(run), weights_of(finished_run)
    drawn = build_model("resnet20", classes=3).state_dict()
    for name, value in ours.items():
        if name.startswith("linear"):
            assert torch.equal(value, drawn[name])
        elif not statistics(name):
            assert torch.equal(value, theirs[name])
    record, earlier = read_json(run.config)["init"], load_record(finished_run)
    assert record["sha256"] == earlier.weights_sha256
    assert record["new"] == record["other_classes"] == ["linear.weight", "linear.bias"]
    assert set(record["taken"]) == set(theirs) - {"linear.weight", "linear.bias"}
    kept = load_record(run)
    assert (kept.mean, kept.std) == (earlier.mean, earlier.std)
    assert kept.mean != three.train.mean
    said = [line for line in lines if line.startswith(("begins with", "new, by", "left out"))]
    assert said[0].endswith("takes 114 of 116 tensors")
    assert said[1:] == [
        "new, by the seed: linear.weight, linear.bias",
        "left out: linear.weight, linear.bias (of other classes)",
    ]
    assert any(line.startswith("normalized as in the training of these weights: mean 0.") for line in lines)


def test_the_head_is_kept_for_the_same_classes(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(**STILL), init=finished_run.path, out=tmp_path / "run")
    assert torch.equal(weights_of(run)["linear.weight"], weights_of(finished_run)["linear.weight"])
    assert read_json(run.config)["init"]["new"] == []


def test_equally_many_classes_of_other_names_or_order_get_a_new_head(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    names = tuple(reversed(small_shapes.classes))
    splits = {name: dataclasses.replace(split, classes=names) for name, split in small_shapes.splits.items()}
    data = Dataset("renamed", splits, names)
    run = train(data, small_config.replace(**STILL), init=finished_run, out=tmp_path / "run")
    assert not torch.equal(weights_of(run)["linear.weight"], weights_of(finished_run)["linear.weight"])
    assert read_json(run.config)["init"]["other_classes"] == ["linear.weight", "linear.bias"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"net": {f"module.{name}": value for name, value in state.items()}, "acc": 90.0},
        lambda state: {"state_dict": {f"model._orig_mod.{name}": value.half() for name, value in state.items()}},
        lambda state: {"ema": state, "optimizer": {"param_groups": []}, "epoch": 3},
        lambda state: {"n_averaged": torch.tensor(4), **{f"module.{name}": value for name, value in state.items()}},
        lambda state: {name.replace("linear.", "fc."): value for name, value in state.items()},
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
    ids=["bare", "parallel", "compiled-half", "ema", "averaged", "torchvision", "no-counters"],
)
def test_checkpoints_of_every_layout(
    wrap: Callable[[Any], Any], finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    state = weights_of(finished_run)
    torch.save(wrap(state), tmp_path / "weights.pt")
    run = train(small_shapes, small_config.replace(**STILL), init=tmp_path / "weights.pt", out=tmp_path / "run")
    for name, value in weights_of(run).items():
        if not statistics(name):
            assert torch.allclose(value, state[name], rtol=1e-3, atol=1e-6), name
    assert load_record(run).mean == small_shapes.train.mean
    assert read_json(run.config)["init"]["mean"] is None


@pytest.mark.parametrize("channels", [1, 4])
def test_weights_for_other_channels_are_refused(
    channels: int, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    save_file(build_model("resnet20", channels=channels).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=f"for images of {channels} channels, and these have 3; take weights for 3"):
        train(small_shapes, small_config, init=tmp_path / "weights.safetensors", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_which_nothing_fits_are_refused_with_the_names_of_both(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(
        ModelError, match=r"holds .*bn1\.bias.*, and ResNet9 wants prep\.conv\.weight.*--model: resnet20"
    ):
        train(small_shapes, small_config.replace(model="resnet9"), init=finished_run, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("cnn8-nothing", ModelError, "there are no pretrained weights of this name, and no such path"),
        ("absent.pt", ModelError, "there is no such weight file or folder"),
        ("absent/run", ModelError, "there is no such weight file or folder"),
    ],
)
def test_absent_weights_are_refused_before_anything_is_written(
    source: str, error: type[Exception], message: str, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(small_shapes, small_config, init=source, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_were_changed_after_their_record_are_refused(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "model.json").write_bytes(finished_run.model.read_bytes())
    save_file({name: value + 1 for name, value in weights_of(finished_run).items()}, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match="do not have the SHA-256"):
        train(small_shapes, small_config, init=tmp_path, out=tmp_path / "run")


def test_whitening_leaves_loaded_filters_alone(
    finished_run: Run, three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    config = small_config.replace(**STILL, whiten=True)
    run = train(three, config, init=finished_run, out=tmp_path / "run", log=lines.append)
    assert torch.equal(weights_of(run)["conv1.weight"], weights_of(finished_run)["conv1.weight"])
    assert "whiten is skipped: the stem begins with these weights" in lines


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "body-factor": {"optimizer": "muon", "body_rate_factor": 0.1, "whiten": True},
    "freeze": {"freeze": True, "averaging": "ema", "averaging_decay": 0.8},
}
FAST = {("plain", 1), ("body-factor", 3), ("freeze", 4)}
"""Each kind once, and each step: within the first epoch, within the last, and at the end; the others in `make slow`."""


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        pytest.param(kind, steps, marks=[] if (kind, steps) in FAST else [pytest.mark.slow])
        for kind in KINDS
        for steps in (1, 3, 4)
    ],
)
def test_a_resumed_run_needs_the_weights_no_more(
    kind: str,
    steps: int,
    finished_run: Run,
    three: Dataset,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small_config.replace(batch_size=30, **KINDS[kind])
    weights = tmp_path / "weights"
    weights.mkdir()
    for file in (finished_run.weights, finished_run.model):
        (weights / file.name).write_bytes(file.read_bytes())
    whole = train(three, config, init=weights, out=tmp_path / "whole")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patched:
        interrupt_after(steps, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(three, config, init=weights, out=tmp_path / "parts")
    for file in weights.iterdir():
        file.unlink()
    parts = resume(tmp_path / "parts", dataset=three)
    assert same_weights(parts, whole)
    assert without_times(parts) == without_times(whole)
    assert load_record(parts).mean == load_record(whole).mean == load_record(finished_run).mean


def test_a_run_without_its_first_checkpoint_cannot_be_resumed(
    finished_run: Run, three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(three, small_config.replace(**STILL), init=finished_run, out=tmp_path / "run")
    run.training.unlink()
    run.resume.unlink()
    with pytest.raises(RunError, match="has no checkpoint yet; train again with --init"):
        resume(run, dataset=three)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_freeze_trains_the_head_alone_and_keeps_statistics(
    optimizer: Any, finished_run: Run, three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(three, small_config.replace(freeze=True, optimizer=optimizer), init=finished_run, out=tmp_path / "run")
    ours, theirs = weights_of(run), weights_of(finished_run)
    body = [name for name in ours if not name.startswith("linear")]
    assert all(torch.equal(ours[name], theirs[name]) for name in body)
    drawn = build_model("resnet20", classes=3).state_dict()
    assert not torch.equal(ours["linear.weight"], drawn["linear.weight"])
    assert not torch.equal(ours["linear.bias"], drawn["linear.bias"])


def test_a_frozen_head_has_the_gradient_of_logistic_regression(
    finished_run: Run, three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    """One step of plain SGD on all images equals the step that is computed by hand on the embeddings."""
    config = small_config.replace(
        epochs=1, batch_size=len(three.train), freeze=True, momentum=0.0, weight_decay=0.0, label_smoothing=0.0,
        flip="none", crop_px=0, schedule="constant", warmup_fraction=0.0, peak_learning_rate=0.5,
    )  # fmt: skip
    run = train(three, config, init=finished_run, out=tmp_path / "run")
    network, record = load_model(finished_run)
    inputs = (three.train.images / 255 - torch.tensor(record.mean).view(3, 1, 1)) / torch.tensor(record.std).view(
        3, 1, 1
    )
    features: list[Tensor] = []
    network.get_submodule("linear").register_forward_pre_hook(lambda module, args: features.append(args[0]))
    with torch.no_grad():
        network(inputs)
    drawn = build_model("resnet20", classes=3).state_dict()
    logits = features[0] @ drawn["linear.weight"].T + drawn["linear.bias"]
    errors = (logits.softmax(1) - torch.eye(3)[three.train.labels]) / len(three.train)
    expected = drawn["linear.weight"] - 0.5 * errors.T @ features[0]
    assert torch.allclose(weights_of(run)["linear.weight"], expected, atol=1e-5)


def test_freeze_without_weights_is_a_warning_and_without_a_head_an_error(
    three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    train(three, small_config.replace(freeze=True, epochs=1), out=tmp_path / "random", log=lines.append)
    assert "warning: freeze without weights to begin with: all layers but the head stay random" in lines
    headless = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="has no linear layer with 3 outputs, which freeze trains alone; leave"):
        train(three, small_config.replace(freeze=True, resolutions=(1.0,)), model=headless, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_network_in_memory_learns_as_before_after_a_frozen_training(
    three: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    network = build_model("resnet20", classes=3)
    network.get_parameter("conv1.weight").requires_grad_(False)
    train(three, small_config.replace(freeze=True, epochs=1), model=network, out=tmp_path / "run")
    still = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert still == ["conv1.weight"]
    find_learning_rate(three, small_config.replace(freeze=True), model=network, steps=20)
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == still


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_the_body_learns_at_a_fraction_of_the_rate(optimizer: Any) -> None:
    """Every parameter's rate, solved by hand for a schedule at half of its peak."""
    network = build_model("resnet20", classes=3)
    config = TrainConfig(
        optimizer=optimizer, body_rate_factor=0.1, norm_bias_factor=4.0, peak_learning_rate=0.4, muon_learning_rate=0.2
    )
    made = make_optimizer(network, config, head=network.get_submodule("linear"))
    set_rates(made, config, 0.2)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    expected = {"linear.weight": 0.2, "linear.bias": 0.2, "bn1.weight": 0.02, "bn1.bias": 0.08}
    expected["conv1.weight"] = 0.01 if optimizer == "muon" else 0.02
    for name, rate in expected.items():
        assert rates[id(network.get_parameter(name))] == pytest.approx(rate), name


def test_a_body_factor_of_one_groups_as_ever() -> None:
    network = build_model("resnet20")
    plain = make_optimizer(network, TrainConfig(optimizer="muon"))
    same = make_optimizer(network, TrainConfig(optimizer="muon"), head=network.get_submodule("linear"))
    assert [len(group["params"]) for group in plain.param_groups] == [len(g["params"]) for g in same.param_groups]


def test_two_processes_begin_and_end_as_one(folder: Path) -> None:
    first = train_as(folder, 1, "first", *settings("plain"))
    arguments = settings("plain", init=first, body_rate_factor=0.5, seed=3)
    one, two = (train_as(folder, count, f"init{count}", *arguments) for count in (1, 2))
    ours, theirs = (load_file(run / "model.safetensors") for run in (one, two))
    for name, weights in ours.items():
        assert torch.allclose(weights, theirs[name], atol=1e-4), name
    assert read_json(one / "config.json")["init"]["sha256"] == read_json(two / "config.json")["init"]["sha256"]


def test_the_rate_finder_begins_with_weights(finished_run: Run, three: Dataset, small_config: TrainConfig) -> None:
    config = small_config.replace(batch_size=30)
    fresh = find_learning_rate(load_shapes(n_train=200, n_test=70, image_size=16), config, steps=20)
    tuned = find_learning_rate(load_shapes(n_train=200, n_test=70, image_size=16), config, init=finished_run, steps=20)
    assert tuned.losses[0] < fresh.losses[0]


def test_the_effective_field_before_training_is_that_of_the_weights_it_began_with(
    finished_run: Run, three: Dataset, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    """A frozen body sees the same before and after its training; a run of the seed alone does not."""
    config = small_config.replace(freeze=True, epochs=1)
    (tmp_path / "weights.safetensors").write_bytes(finished_run.weights.read_bytes())
    run = train(three, config, init=tmp_path / "weights.safetensors", out=tmp_path / "run")
    fields = measure_effective_fields(run, n=4, dataset=three)
    assert fields.before.to_dict() == fields.after.to_dict()
    plain = measure_effective_fields(finished_run, n=4, dataset=small_shapes)
    assert plain.before.to_dict() != plain.after.to_dict()
    save_file(build_model("resnet20", seed=5).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(RunError, match=r"began with other weights than .* holds now; restore those of SHA-256"):
        measure_effective_fields(run, n=4, dataset=three)
