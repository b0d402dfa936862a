"""Settings: their ranges and types, the way to JSON and back, and the recipes."""

import dataclasses
import json
from typing import Any

import pytest

from visionlib.errors import ConfigError
from visionlib.training import RECIPES, TrainConfig, recipe_config


def test_every_setting_has_its_help() -> None:
    for item in dataclasses.fields(TrainConfig):
        assert len(item.metadata["help"]) > 10, item.name


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_config_comes_back_from_json(recipe: str) -> None:
    config = RECIPES[recipe]
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: 0 is out of range; it must be at least 1"),
        ({"label_smoothing": 1.5}, "label_smoothing: 1.5 is out of range; it must be from 0 to 1"),
        ({"peak_learning_rate": float("nan")}, "peak_learning_rate: nan is out of range"),
        ({"peak_learning_rate": float("inf")}, r"peak_learning_rate: inf is out of range; it must be at most 1e\+09"),
        ({"weight_decay": 1e308}, r"weight_decay: 1e\+308 is out of range; it must be at most"),
        ({"epochs": 10**30}, "epochs: 10{30} is out of range; it must be at most"),
        ({"seed": 2**63}, f"seed: {2**63} is out of range; it must be from 0 to {2**63 - 1}"),
        ({"resolutions": ()}, r"resolutions: \(\) has fractions outside"),
        ({"resolutions": (0.5, 1.5)}, "resolutions: .* has fractions outside"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "epoch: there is no such setting; did you mean 'epochs'"),
        ({"zzz": 3}, "zzz: there is no such setting; known are: model, seed"),
        ({"epochs": "3"}, "epochs: '3' is no int; write it like 6"),
        ({"epochs": 3.5}, "epochs: 3.5 is no int"),
        ({"epochs": True}, "epochs: True is no int"),
        ({"momentum": "much"}, "momentum: 'much' is no float"),
        ({"flip": "upside-down"}, "flip: 'upside-down' is none of its values; choose from: none, random, alternating"),
        ({"precision": "fp16"}, "choose from: auto, fp32, bf16"),
        ({"resolutions": "1"}, "resolutions: '1' is no list of numbers"),
    ],
)
def test_wrong_types_in_a_file_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_dict(values)


def test_removed_settings_of_stored_runs_are_accepted_where_they_changed_nothing() -> None:
    stored = {**TrainConfig().to_dict(), "zero_init": False, "averaging": "none"}
    assert TrainConfig.from_dict(stored) == TrainConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"zero_init": True}, "zero_init: there is no such setting; "),
        ({"averaging": "lookahead"}, "averaging: 'lookahead' is none of its values; choose from: none, ema"),
    ],
)
def test_removed_settings_that_changed_a_run_are_refused_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TrainConfig.from_dict({**TrainConfig().to_dict(), **values})
    assert "\n" not in str(caught.value)


def test_integers_are_accepted_for_fractions_and_rates() -> None:
    config = TrainConfig.from_dict({"peak_learning_rate": 1, "resolutions": [1]})
    assert config == TrainConfig(peak_learning_rate=1.0, resolutions=(1.0,))


def test_recipes_take_changes_and_refuse_unknown_names() -> None:
    assert recipe_config("quick", seed=3) == dataclasses.replace(RECIPES["quick"], seed=3)
    with pytest.raises(
        ConfigError, match="slow: there is no such recipe; known are: auto, quick, sprint, fast, medium,"
    ):
        recipe_config("slow")


def test_course2020_is_the_2020_loader() -> None:
    course = RECIPES["course2020"]
    assert (course.rotate_degrees, course.translate_fraction, course.scale_fraction) == (10, 0.1, 0.1)
    assert (course.brightness, course.contrast, course.saturation, course.hue) == (0.1, 0.1, 0.1, 0.1)
    assert course.normalization == "half"
