import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, RunError, TrainingError
from visionlib.evaluation import evaluate
from visionlib.inference.device import choose_compute
from visionlib.inference.prediction import predict_logits
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_model import load_model
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig, train
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.recipes import recipe_config
from visionlib.training.step import TrainingStep


def test_a_finished_run_has_every_file_and_they_agree(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig
) -> None:
    names = {path.name for path in finished_run.path.iterdir()} - {"evaluation.json"}
    assert names == {
        "config.json",
        "history.jsonl",
        "history.png",
        "model.json",
        "model.safetensors",
        "predictions.npz",
        "resume.pt",
        "summary.json",
        "training.json",
    }
    config = read_json(finished_run.config)
    assert TrainConfig.from_dict(config["config"]) == small_config
    assert config["dataset"]["content_hash"] == small_shapes.content_hash
    assert config["versions"]["torch"] == torch.__version__
    history = [json.loads(line) for line in finished_run.history.read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2]
    training = read_json(finished_run.training)
    assert training["epochs"] == 2
    assert training["seconds_training"] == pytest.approx(sum(record["seconds"] for record in history))
    assert training["seconds_total"] > training["seconds_training"] + training["seconds_startup"] > 0
    assert training["images_per_second"] == pytest.approx(400 / training["seconds_training"])


def test_a_run_that_ends_on_shrunk_images_predicts_those(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    config = small_config.replace(resolutions=(1.0, 0.5), validation_fraction=0.1, epochs=2)
    run = train(small_shapes, config, out=tmp_path / "run")
    model, record = load_model(run)
    assert record.input_size == (8, 8)
    logits = load_predictions(run).predictions.logits
    images = small_shapes.test.images
    expected = predict_logits(model, images, mean=record.mean, std=record.std, side_px=8)
    torch.testing.assert_close(logits, expected)
    at_full_size = predict_logits(model, images, mean=record.mean, std=record.std)
    assert not torch.allclose(logits, at_full_size, atol=0.01)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    torch.manual_seed(12345)
    again = train(small_shapes, small_config, out=tmp_path / "again")
    other = train(small_shapes, small_config.replace(seed=1), out=tmp_path / "other")
    first, second, third = (load_file(run.weights) for run in (finished_run, again, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["linear.weight"], third["linear.weight"])


def test_images_in_a_memory_mapped_file_give_the_same_weights(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.replace(epochs=1, validation_fraction=0.2)
    in_memory = train(small_shapes, config, out=tmp_path / "in-memory")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    mapped = train(small_shapes, config, out=tmp_path / "mapped")
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 2  # the images to learn from, and those held out
    assert mapped.weights.read_bytes() == in_memory.weights.read_bytes()
    assert mapped.history.read_text().count("\n") == 1


def test_training_learns_what_can_be_learned(small_config: TrainConfig, tmp_path: Path) -> None:
    """Four shades of gray with noise: the network classifies them after eighty steps, also unseen ones."""

    def draw_shades(n: int) -> ImageSplit:
        labels = torch.arange(n) % 4
        noise = torch.randint(0, 20, (n, 3, 16, 16), generator=torch.Generator().manual_seed(n))
        images = (labels.view(-1, 1, 1, 1) * 60 + noise).to(torch.uint8)
        return ImageSplit(images, labels, ("black", "dark", "light", "white"), torch.arange(n))

    dataset = Dataset("shades", {"train": draw_shades(160), "test": draw_shades(44)}, draw_shades(1).classes)
    run = train(dataset, small_config.replace(epochs=10, batch_size=20, peak_learning_rate=0.05), out=tmp_path / "run")
    history = [json.loads(line) for line in run.history.read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["training_accuracy"] > 0.9
    assert read_json(run.training)["test_accuracy"] > 0.9


def test_global_random_state_is_not_changed(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    train(small_shapes, small_config.replace(epochs=1), out=tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_held_out_images_are_scored_and_not_trained_on(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    messages: list[str] = []
    config = small_config.replace(validation_fraction=0.25)
    run = train(small_shapes, config, out=tmp_path / "run", log=messages.append)
    history = [json.loads(line) for line in run.history.read_text().splitlines()]
    assert all(0 <= record["validation_accuracy"] <= 1 for record in history)
    assert any("150 images to learn from" in line for line in messages)
    assert any("held out" in line for line in messages)


def test_a_loss_that_is_nan_ends_the_run_with_a_remedy(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    config = small_config.replace(peak_learning_rate=1e30, warmup_fraction=0.0)
    with pytest.raises(TrainingError, match=r"epoch \d: the loss is not a number .*lower --peak-learning-rate"):
        train(small_shapes, config, out=tmp_path / "run")
    assert not Run(tmp_path / "run").weights.exists()
    assert not Run(tmp_path / "run").training.exists()


def test_a_folder_that_is_not_empty_is_not_changed(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig
) -> None:
    before = {path.name: path.read_bytes() for path in finished_run.path.iterdir()}
    with pytest.raises(RunError, match="exists and is not empty"):
        train(small_shapes, small_config, out=finished_run.path)
    assert {path.name: path.read_bytes() for path in finished_run.path.iterdir()} == before


def test_one_image_is_too_few(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    one = small_shapes.train.subset(torch.tensor([0]))
    dataset = dataclasses.replace(small_shapes, splits={"train": one})
    with pytest.raises(ConfigError, match="train split: 1 images are left to learn from"):
        train(dataset, small_config, out=tmp_path / "run")


def test_a_dataset_without_test_images_trains_all_the_same(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    dataset = dataclasses.replace(small_shapes, splits={"train": small_shapes.train})
    run = train(dataset, small_config.replace(epochs=1), out=tmp_path / "run")
    assert read_json(run.training)["test_accuracy"] is None
    assert not run.predictions.exists()


def test_bf16_trains_too(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    run = train(small_shapes, small_config.replace(epochs=1, precision="bf16"), out=tmp_path / "run")
    model, _ = load_model(run)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize(("channels", "side_px", "n_classes"), [(1, 28, 2), (3, 64, 1000), (1, 20, 3)])
@pytest.mark.parametrize("recipe", ["quick", "standard"])
def test_images_of_every_kind(recipe: str, channels: int, side_px: int, n_classes: int, tmp_path: Path) -> None:
    """Grayscale or color, small or large, two classes or a thousand: trained and evaluated."""
    shape = (40, channels, side_px, side_px)
    images = torch.arange(math.prod(shape)).remainder(251).to(torch.uint8).reshape(shape)
    classes = tuple(f"class {k}" for k in range(n_classes))
    split = ImageSplit(images, torch.arange(40) % n_classes, classes, torch.arange(40))
    config = recipe_config(recipe, model="resnet20", epochs=1, batch_size=20, device="cpu")
    run = train(Dataset("drawn", {"train": split, "test": split}, classes), config, out=tmp_path / "run")
    _, record = load_model(run)
    side_px = {28: 20, 64: 48, 20: 16}[side_px] if recipe == "quick" else side_px
    assert (record.channels, record.classes, record.input_size) == (channels, classes, (side_px, side_px))
    evaluation = evaluate(run)
    assert evaluation.n == 40
    assert len(evaluation.per_class) == n_classes


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_gradients_equal_those_of_the_batch(parts: int, small_shapes: Dataset) -> None:
    """Without batch normalization, to rounding."""
    split = small_shapes.train
    results = []
    for config in (TrainConfig(batch_size=50), TrainConfig(batch_size=50, parts=parts)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
        optimizer = make_optimizer(model, config)
        take_step = TrainingStep(model, optimizer, job)
        batches = zip(torch.split(split.images, 50), torch.split(split.labels, 50), strict=True)
        steps = [take_step(*batch, side_px=16, learning_rate=0.1) for batch in batches]
        results.append((steps, [parameter.detach() for parameter in model.parameters()]))
    for (loss, hits), (other_loss, other_hits) in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(loss, other_loss)
        assert hits == other_hits
    for plain, accumulated in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(plain, accumulated, rtol=1e-4, atol=1e-6)


def test_parts_of_one_image_are_an_error(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parts: of 40 each has less than two images of a step; take fewer"):
        train(small_shapes, small_config.replace(parts=40), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
