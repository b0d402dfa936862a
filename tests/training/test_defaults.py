"""The settings that are chosen where no recipe is named."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.runs import read_json
from visionlib.training import RECIPES, TrainConfig, train
from visionlib.training.cost import count_training_flop
from visionlib.training.defaults import MANY_IMAGES, DataFacts, choose_initial_weights, choose_settings

PHOTOGRAPHS = DataFacts(380, 5, (3, 32, 32))
CIFAR = DataFacts(50_000, 10, (3, 32, 32))


@pytest.mark.parametrize("n", [2, 10, 50, 200, 380, 1_000, 1_999, 2_000, 4_999, 5_000, MANY_IMAGES - 1])
def test_few_images_are_learned_in_enough_steps(n: int) -> None:
    config = choose_settings(replace(PHOTOGRAPHS, n=n)).config
    steps = config.epochs * -(-n // config.batch_size)
    assert 400 <= steps <= 30_000
    # A training of more images sees more, but each of them less often.
    more = choose_settings(replace(PHOTOGRAPHS, n=n + n // 2)).config
    assert more.epochs <= config.epochs


def test_the_recipe_of_cifar_would_be_five_steps() -> None:
    """The defect: 380 photographs, five steps, one answer for everything."""
    assert RECIPES["quick"].epochs * -(-380 // RECIPES["quick"].batch_size) == 5
    chosen = choose_settings(PHOTOGRAPHS)
    assert chosen.config.batch_size == 32
    assert "380 images of 32 x 32 px in 5 classes: cnn8" in chosen.reasons[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (64, 3), (3, 64), (2, 2), (128, 20)])
def test_shifts_fit_the_shorter_side(size: tuple[int, int]) -> None:
    assert 0 <= choose_settings(DataFacts(380, 5, (3, *size))).config.crop_px < min(size)


@pytest.mark.parametrize("budget_flop", [None, 1e18])
def test_many_large_images_are_shrunk_on_a_cpu(budget_flop: float | None) -> None:
    large = DataFacts(50_000, 10, (3, 128, 128))
    assert max(choose_settings(large, budget_flop=budget_flop).config.resolutions) == 0.5
    assert choose_settings(large, is_gpu=True).config == with_held_out("best")


@pytest.mark.parametrize("height", [2, 7, 8, 20, 32, 33, 64, 65, 96, 128, 500])
def test_images_of_any_size_are_trained_at_64_px_at_most(height: int) -> None:
    config = choose_settings(DataFacts(380, 5, (3, height, height))).config
    assert max(config.resolutions) * height <= max(64, height if height <= 64 else 0) + 1e-6
    assert config.resolutions[-1] == max(config.resolutions)
    assert 1 <= config.crop_px < height


def test_what_was_given_is_kept() -> None:
    given: dict[str, Any] = {"model": "resnet20", "epochs": 3, "batch_size": 7, "flip": "none", "resolutions": (0.5,)}
    chosen = choose_settings(PHOTOGRAPHS, given)
    assert {name: getattr(chosen.config, name) for name in given} == given
    assert "as given: model, epochs, batch-size, flip, resolutions" in chosen.reasons[0]
    with pytest.raises(ConfigError, match="epochs: 0 is out of range"):
        choose_settings(PHOTOGRAPHS, {"epochs": 0})


@pytest.mark.parametrize("facts", [PHOTOGRAPHS, CIFAR])
def test_a_network_of_ones_own_gets_settings_that_any_network_learns_with(facts: DataFacts) -> None:
    config = choose_settings(facts, {"model": "mynet.py:MyNet"}, budget_flop=1e14).config
    assert (config.optimizer, config.resolutions, config.whiten) == ("sgd", (1.0,), False)


def test_earlier_weights_are_changed_slowly() -> None:
    config = choose_settings(PHOTOGRAPHS, is_fine_tuning=True).config
    scratch = choose_settings(PHOTOGRAPHS).config
    assert (config.muon_learning_rate, config.peak_learning_rate) == (
        scratch.muon_learning_rate / 2,
        scratch.peak_learning_rate / 2,
    )
    assert (config.whiten, config.norm_bias_factor) == (False, 1.0)
    assert config.epochs == choose_settings(PHOTOGRAPHS).config.epochs


def test_the_network_of_earlier_weights_is_trained(small_shapes: Dataset, tmp_path: Any) -> None:
    quick = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1, "resolutions": (0.5,)}
    first = train(small_shapes, {**quick, "model": "resnet20"}, out=tmp_path / "first")
    second = train(small_shapes, quick, init=first, out=tmp_path / "second")
    assert read_json(second.config)["config"]["model"] == "resnet20"
    assert len(read_json(second.config)["init"]["taken"]) > 50


@pytest.mark.parametrize(
    ("n", "channels", "given", "begins"),
    [
        (30, 3, {}, True),
        (1_999, 3, {"model": "cnn8", "epochs": 2}, True),
        (2_000, 3, {}, False),
        (30, 1, {}, False),
        (30, 3, {"model": "resnet9"}, False),
        (30, 3, {"model": "mynet.py:Net"}, False),
        (30, 3, TrainConfig(), False),
        (30, 3, RECIPES["fast"], False),
    ],
)
def test_few_color_images_begin_with_the_weights_of_the_package(
    n: int, channels: int, given: Any, begins: bool
) -> None:
    images, labels = torch.zeros(n, channels, 8, 8, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64)
    split = ImageSplit(images, labels, ("a", "b"), torch.arange(n))
    weights = choose_initial_weights("auto", split, given)
    assert (weights is not None and weights.model == "cnn8") == begins
    for init in (None, "none"):
        assert choose_initial_weights(init, split, given) is None


def test_a_training_of_few_images_says_what_it_begins_with(small_shapes: Dataset, tmp_path: Any) -> None:
    lines: list[str] = []
    quick = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1}
    run = train(small_shapes, quick, out=tmp_path / "run", log=lines.append)
    assert any(line.startswith("begins with cnn8-cifar10 (SHA-256") for line in lines)
    assert any("--init none begins with random ones" in line for line in lines)
    record = read_json(run.config)
    assert record["init"]["source"] == "cnn8-cifar10"
    assert (record["config"]["muon_learning_rate"], record["config"]["whiten"]) == (0.1, False)
    scratch = train(small_shapes, quick, init=None, out=tmp_path / "scratch")
    assert read_json(scratch.config).get("init") is None
    assert read_json(scratch.config)["config"]["whiten"]


def with_held_out(name: str) -> TrainConfig:
    """A recipe, with one image in fifty held out."""
    return RECIPES[name].replace(validation_fraction=0.02)


@pytest.mark.parametrize(
    ("n", "fraction"), [(20, 0.0), (1_999, 0.0), (2_000, 0.1), (19_999, 0.1), (20_000, 0.02), (10**6, 0.02)]
)
def test_some_images_are_held_out_where_there_are_enough(n: int, fraction: float) -> None:
    facts = DataFacts(n, 10, (3, 32, 32))
    chosen = choose_settings(facts)
    assert chosen.config.validation_fraction == fraction
    kept = f"; {round(fraction * n):,} of the images are held out, to calibrate the probabilities"
    assert (kept in chosen.reasons[0]) == (fraction > 0)
    given = choose_settings(facts, {"validation_fraction": 0.0})
    assert given.config.validation_fraction == 0.0
    assert "held out" not in given.reasons[0]


def test_many_images_get_the_most_accurate_recipe_that_the_time_allows() -> None:
    needed = {
        name: count_training_flop(RECIPES[name], CIFAR.n, CIFAR.image_size, CIFAR.classes)
        for name in ("sprint", "fast", "medium", "standard")
    }
    assert list(needed.values()) == sorted(needed.values())
    for name, flop in needed.items():
        assert choose_settings(CIFAR, budget_flop=flop).config == with_held_out(name)
    assert choose_settings(CIFAR, budget_flop=needed["standard"] * 0.99).config == with_held_out("medium")
    small = choose_settings(CIFAR, budget_flop=needed["sprint"] / 10)
    assert small.config == with_held_out("sprint")
    assert "shortened" in small.reasons[1]
    # Twice as many images need twice the time.
    assert choose_settings(replace(CIFAR, n=100_000), budget_flop=needed["medium"]).config == with_held_out("fast")


def test_without_a_limit_of_time_the_machine_decides() -> None:
    assert choose_settings(CIFAR).config == with_held_out("fast")
    assert choose_settings(CIFAR, is_gpu=True).config == with_held_out("best")


def test_a_run_records_the_choice_as_if_it_had_been_given(small_shapes: Dataset, tmp_path: Any) -> None:
    lines: list[str] = []
    given = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1}
    run = train(small_shapes, given, out=tmp_path / "run", log=lines.append)
    record = read_json(run.config)
    expected = choose_settings(DataFacts.of(small_shapes.train), given, is_fine_tuning=True)
    assert TrainConfig.from_dict(record["config"]) == expected.config
    assert record["chosen"] == list(expected.reasons)
    assert all(reason in lines for reason in expected.reasons)
    assert any(line.startswith("about ") and "of training here" in line for line in lines)
