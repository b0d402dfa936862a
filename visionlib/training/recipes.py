"""The recipes: complete named settings, each with its purpose. Measured results: docs/results.md."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from visionlib.errors import ConfigError
from visionlib.training.config import TrainConfig

_QUICK = TrainConfig(
    epochs=5,
    batch_size=512,
    resolutions=(0.5, 0.5, 0.5, 0.75, 0.75),
    optimizer="muon",
    muon_learning_rate=0.2,
    muon_momentum=0.6,
    peak_learning_rate=0.4,
    norm_bias_factor=16.0,
    whiten=True,
    label_smoothing=0.05,
    crop_px=1,
)
RECIPES: Mapping[str, TrainConfig] = MappingProxyType(
    {
        # A first result on two cores: few steps at high rates, on shrunk images; it predicts shrunk images as well.
        "quick": _QUICK,
        # Three minutes on two cores with bf16: images grow while it trains, and stay small.
        "sprint": _QUICK.replace(model="cnn8", epochs=4, resolutions=(0.5, 0.5, 0.75, 0.75)),
        # Minutes without a GPU: the settings of `quick` for a smaller network and larger images.
        "fast": _QUICK.replace(model="cnn8", epochs=4, resolutions=(0.75, 0.75, 1.0, 1.0)),
        # A quarter of an hour without a GPU.
        "medium": _QUICK.replace(
            model="cnn8",
            epochs=11,
            resolutions=(*[0.5] * 3, *[0.75] * 4, *[1.0] * 4),
            muon_learning_rate=0.1,
            crop_px=2,
        ),
        # Accuracy in about an hour.
        "standard": TrainConfig(
            epochs=39,
            batch_size=512,
            parts=2,
            resolutions=(*[0.5] * 10, *[0.75] * 13, *[1.0] * 16),
            optimizer="muon",
            muon_learning_rate=0.06,
            muon_momentum=0.6,
            peak_learning_rate=0.4,
            sam_radius=0.02,
            crop_px=4,
            cutout_px=12,
        ),
        # For a GPU, or for a night: 70 epochs, without gradient accumulation and SAM.
        "best": TrainConfig(
            epochs=70,
            batch_size=500,
            resolutions=(*[0.5] * 20, *[0.75] * 24, *[1.0] * 26),
            optimizer="muon",
            muon_learning_rate=0.06,
            muon_momentum=0.6,
            peak_learning_rate=0.4,
            crop_px=4,
            cutout_px=12,
        ),
        # The 2020 library's augmentation and normalization, with this library's schedule.
        "course2020": TrainConfig(
            epochs=20,
            peak_learning_rate=0.1,
            label_smoothing=0.0,
            flip="random",
            crop_px=0,
            rotate_degrees=10.0,
            translate_fraction=0.1,
            scale_fraction=0.1,
            brightness=0.1,
            contrast=0.1,
            saturation=0.1,
            hue=0.1,
            normalization="half",
        ),
    }
)


def recipe_config(recipe: str, **changes: Any) -> TrainConfig:
    """Return a recipe's settings, with some of them changed.

    Raises:
        ConfigError: if there is no such recipe, or a change is out of range.
    """
    if recipe not in RECIPES:
        raise ConfigError(recipe, "there is no such recipe", f"known are: auto, {', '.join(RECIPES)}")
    return dataclasses.replace(RECIPES[recipe], **changes)
