"""A trained network from a run, a checkpoint or memory predicts the same, and damaged runs are refused."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from visionlib.data import Dataset
from visionlib.errors import ConfigError, ModelError, RunError
from visionlib.inference import TrainedModel, load_model, load_predictions, predict
from visionlib.inference.prediction import Predictions
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.run_model import save_model
from visionlib.models import build_model
from visionlib.models.model_record import load_record
from visionlib.runs import Run, hash_file, read_json, write_json

MEAN, STD, CLASSES = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26), tuple("abcdefghij")


def draw_images(n: int, height: int = 16, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def are_equal(first: Predictions, second: Predictions) -> bool:
    assert first.embeddings is not None
    assert second.embeddings is not None
    return torch.equal(first.logits, second.logits) and torch.equal(first.embeddings, second.embeddings)


def test_a_model_comes_back_with_its_weights_and_its_record(finished_run: Run) -> None:
    model, record = load_model(finished_run)
    stored = load_file(finished_run.weights)
    state = model.state_dict()
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name]) for name in stored)
    assert not model.training
    assert record.input_size == (16, 16)
    assert record.weights_sha256 == hash_file(finished_run.weights)
    assert record == load_record(finished_run)


def test_save_model_returns_the_record_that_it_writes(copied_run: Run) -> None:
    network, record = load_model(copied_run)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    saved = save_model(copied_run, network, record)
    assert saved == load_record(copied_run)
    assert saved.weights_sha256 == hash_file(copied_run.weights) != record.weights_sha256


def test_one_flipped_bit_in_the_weights_is_an_error(copied_run: Run) -> None:
    content = bytearray(copied_run.weights.read_bytes())
    content[-100] ^= 1
    copied_run.weights.write_bytes(content)
    for load in (load_model, TrainedModel.from_run):
        with pytest.raises(RunError, match=r"model\.safetensors: does not have the SHA-256 of model\.json"):
            load(copied_run)


def test_a_run_without_weights_or_record_is_refused(copied_run: Run) -> None:
    copied_run.weights.unlink()
    with pytest.raises(RunError, match="the run lacks its weights"):
        load_model(copied_run)
    copied_run.model.unlink()
    with pytest.raises(RunError, match="the run did not finish; go on with: visionlib train --resume"):
        load_model(copied_run)


def test_a_record_that_lacks_a_field_is_refused(copied_run: Run) -> None:
    write_json(copied_run.model, {"model": "resnet20", "input_size": [16, 16]})
    with pytest.raises(RunError, match=r"model\.json: is damaged \(classes is missing\)"):
        load_model(copied_run)


@pytest.mark.parametrize("is_path", [False, True])
def test_a_run_gives_its_network_preprocessing_and_classes(
    is_path: bool, finished_run: Run, small_shapes: Dataset
) -> None:
    model = TrainedModel.from_run(str(finished_run.path) if is_path else finished_run, device="cpu")
    network, record = load_model(finished_run)
    assert (model.mean, model.std, model.side_px) == (record.mean, record.std, 16)
    assert model.classes == small_shapes.classes
    assert (model.channels, model.device, model.precision) == (3, torch.device("cpu"), "fp32")
    assert model.provenance == f"run {finished_run.path}"
    images = small_shapes.test.images
    expected = predict(network, images, mean=record.mean, std=record.std, side_px=16)
    assert are_equal(model.predict(images, batch_size=7), expected)
    torch.testing.assert_close(expected.logits, load_predictions(finished_run).predictions.logits)


def test_a_runs_precision_is_that_of_its_training_unless_given(copied_run: Run) -> None:
    config = read_json(copied_run.config)
    config["compute"]["precision"] = "bf16"
    write_json(copied_run.config, config)
    assert TrainedModel.from_run(copied_run, device="cpu").precision == "bf16"
    assert TrainedModel.from_run(copied_run, device="cpu", precision="fp32").precision == "fp32"


def test_from_run_needs_a_finished_run_and_a_present_device(copied_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device: cuda:99 is not on this machine"):
        TrainedModel.from_run(copied_run, device="cuda:99")
    with pytest.raises(RunError, match="there is no such run folder"):
        TrainedModel.from_run(tmp_path / "absent")
    copied_run.model.unlink()
    with pytest.raises(RunError, match="the run did not finish"):
        TrainedModel.from_run(copied_run)


@pytest.mark.parametrize("is_safetensors", [False, True])
def test_a_checkpoint_gives_the_network_that_it_was_saved_from(is_safetensors: bool, tmp_path: Path) -> None:
    network = build_model("resnet20", classes=10, seed=5)
    with torch.no_grad():
        network(prepare_inputs(draw_images(32), MEAN, STD))  # statistics other than a new network's
    path = tmp_path / "weights"
    if is_safetensors:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    else:
        torch.save({"state_dict": network.state_dict()}, path)
    model = TrainedModel.from_checkpoint(path, "resnet20", classes=CLASSES, mean=MEAN, std=STD, side_px=8, device="cpu")
    assert not model.network.training
    assert (model.classes, model.side_px, model.provenance) == (CLASSES, 8, f"checkpoint {path}")
    expected = predict(network, draw_images(5), mean=MEAN, std=STD, side_px=8)
    torch.testing.assert_close(model.predict(draw_images(5)).logits, expected.logits)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(build_model("resnet20", classes=10).state_dict(), path)
    for model, classes in (("resnet20", CLASSES[:3]), ("resnet18", CLASSES), ("no_such_model", CLASSES)):
        with pytest.raises(ModelError):
            TrainedModel.from_checkpoint(path, model, classes=classes, mean=MEAN, std=STD)
    with pytest.raises(ConfigError, match="device: cuda:99"):
        TrainedModel.from_checkpoint(path, "resnet20", classes=CLASSES, mean=MEAN, std=STD, device="cuda:99")


def test_a_network_in_memory_predicts_as_predict_does() -> None:
    network = build_model("resnet20")
    network.get_submodule("layer2").eval()
    modes = [module.training for module in network.modules()]
    model = TrainedModel.from_network(network, MEAN, STD, 8, classes=CLASSES, precision="bf16")
    assert model.network is network
    images = draw_images(9)
    for mirror in (False, True):
        expected = predict(network, images, mean=MEAN, std=STD, side_px=8, precision="bf16", mirror=mirror)
        assert are_equal(model.predict(images, batch_size=4, mirror=mirror), expected)
    assert [module.training for module in network.modules()] == modes
    assert TrainedModel.from_network(network, MEAN, STD).provenance == "a network in memory"


@pytest.mark.parametrize(("mean", "std"), [(None, None), (MEAN, None), (None, STD)])
def test_a_network_alone_needs_mean_and_std(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    with pytest.raises(ConfigError, match="mean, std: are not known of a network alone; give those"):
        TrainedModel.from_network(build_model("resnet20"), mean, std)


def test_the_number_of_logits_must_be_that_of_the_classes() -> None:
    network = build_model("resnet20", classes=10)
    with pytest.raises(ModelError, match="gives 10 logits and the images are of 3 classes; evaluate it on the classes"):
        TrainedModel.from_network(network, MEAN, STD, classes=CLASSES[:3]).predict(draw_images(2))
    assert TrainedModel.from_network(network, MEAN, STD).predict(draw_images(2)).logits.shape == (2, 10)


def test_inputs_have_the_input_size() -> None:
    network = nn.Linear(1, 1)
    images = draw_images(2, 32, 64)
    for side_px, expected in ((None, (3, 32, 64)), (16, (3, 16, 32))):
        model = TrainedModel.from_network(network, MEAN, STD, side_px)
        assert model.input_size(images) == expected
        inputs = model.prepare(images)
        assert inputs.shape[1:] == expected
        assert torch.equal(inputs, prepare_inputs(images, MEAN, STD, side_px))


@pytest.mark.parametrize(
    ("images", "kind"),
    [(torch.zeros(2, 3, 8, 8), "float32 of 4 dimensions"), (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8 of 3")],
)
def test_images_that_are_not_pixels_as_stored_are_an_error(images: Tensor, kind: str) -> None:
    model = TrainedModel.from_network(nn.Linear(1, 1), MEAN, STD)
    with pytest.raises(ConfigError, match=f"images: are {kind}.*give uint8 pixels as stored"):
        inspect.unwrap(TrainedModel.input_size)(model, images)  # without the shape checks of tests


def test_model_json_holds_the_fields_that_others_read(finished_run: Run) -> None:
    fields = json.loads(finished_run.model.read_text())
    assert sorted(fields) == [
        *["channels", "classes", "image_size", "input_size", "mean", "model", "novelty", "resize"],
        *["schema_version", "std", "temperature", "weights_sha256"],
    ]


@pytest.mark.gpu
def test_a_run_on_a_gpu_predicts_as_on_a_cpu(finished_run: Run, small_shapes: Dataset) -> None:
    on_cpu, on_gpu = (TrainedModel.from_run(finished_run, device=device) for device in ("cpu", "cuda"))
    assert on_gpu.device.type == "cuda"
    images = small_shapes.test.images
    logits = on_gpu.predict(images).logits
    assert logits.device == images.device
    torch.testing.assert_close(logits, on_cpu.predict(images).logits, rtol=1e-2, atol=1e-2)


def test_an_empty_batch_is_predicted_with_a_warning() -> None:
    model = TrainedModel.from_network(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), MEAN, STD)
    with pytest.warns(UserWarning, match="images: there are none to predict; the logits have no rows"):
        assert model.predict(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)).logits.shape == (0, 2)
