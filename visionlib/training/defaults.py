"""Settings that fit the data and the machine: the default of `visionlib train`, where no recipe is named.

Requirements:
- A pure function of facts about the data, of the settings that the user gave, and of the operations that the time
  allows. Measuring the machine is the caller's part. So a run can tell why it trained as it did.
- A setting that the user gave is kept.
- Few images get small batches and many epochs: a network learns in steps, and 380 images in batches of 512 are one step
  per epoch.
- Many images get the most accurate recipe whose operations fit into the time.

Where few images were tried: docs/experiments.md, "Defaults for few images". Rate and shifts were chosen on held-out
images; the power and the larger batch sizes are guesses.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionlib.data import ImageSplit
from visionlib.inference.device import Compute
from visionlib.models.initial_weights import InitialWeights, open_weights
from visionlib.models.names import MODEL_NAMES
from visionlib.models.pretrained import MOST_ACCURATE, is_pretrained
from visionlib.runs import Run
from visionlib.training.config import TrainConfig
from visionlib.training.cost import count_training_flop, measure_flop_rate
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.recipes import RECIPES

MANY_IMAGES = 20_000
"""From this number on the recipes apply, which were measured on 50,000 images."""
_RECIPES = ("sprint", "fast", "medium", "standard")
"""For many images, in the order of their operations and of their accuracy."""
_DEFAULT_RECIPE, _GPU_RECIPE = "fast", "best"
"""For many images without a limit of time."""
_BATCH_SIZES = ((2_000, 32), (5_000, 64), (MANY_IMAGES, 128))
"""Numbers of images up to which a batch size applies."""
_SEEN_OF_1000, _SEEN_POWER = 40_000, 0.4
"""Images that pass through the network where there are 1,000 different ones, and the power by which it grows."""
_HELD_OUT = ((MANY_IMAGES, 0.02), (2_000, 0.1))
"""Numbers of images from which a fraction is held out: some hundreds, for the temperature and for what is unusual."""
_LARGEST_PX = 64
"""Larger images are shrunk to this height for training, except on a GPU."""


_LEARNED_ANEW = 2_000
"""From this number of images on a training begins with random weights by default: more were not measured."""
_FINE_TUNING: Mapping[str, Any] = {"muon_learning_rate": 0.1, "peak_learning_rate": 0.2}
"""Rates for earlier weights, half of those for random ones, see docs/experiments.md."""
_WEIGHTS, _WEIGHTS_CHANNELS = "cifar10", 3
"""Weights that come with the package, and the channels of their images."""
_MEASURING_FRACTION = 0.02
"""Fraction of the time after which the machine is measured by parts of a batch alone."""


@dataclass(frozen=True)
class DataFacts:
    """The facts on which the choice depends.

    Attributes:
        n: images to learn from.
        classes: number of classes.
        image_size: channels, height and width of the stored images.
    """

    n: int
    classes: int
    image_size: tuple[int, int, int]

    @classmethod
    def of(cls, split: ImageSplit) -> "DataFacts":
        """Read the facts off a training split."""
        return cls(len(split), len(split.classes), (split.channels, *split.image_size))


@dataclass(frozen=True)
class ChosenSettings:
    """Settings, and the reasons for them in a line each."""

    config: TrainConfig
    reasons: tuple[str, ...] = ()


def choose_initial_weights(
    init: str | os.PathLike[str] | Run | None, split: ImageSplit, config: TrainConfig | Mapping[str, Any]
) -> InitialWeights | None:
    """Open the weights to begin with.

    Args:
        init: as in `open_weights`; None or "none" for random weights; "auto" for pretrained ones where the settings
            are chosen for few color images and a built-in network that such weights exist for, else for random ones.
        split: images to learn from.
        config: settings, all or some.
    Raises:
        ModelError, RunError: as `open_weights`.
    """
    model = config.model if isinstance(config, TrainConfig) else config.get("model")
    if init is None or init == "none":
        return None
    if init != "auto":
        return open_weights(init, model)
    is_like_theirs = len(split) < _LEARNED_ANEW and split.channels == _WEIGHTS_CHANNELS
    is_there = model is None or is_pretrained(f"{model}-{_WEIGHTS}")
    if isinstance(config, TrainConfig) or not is_like_theirs or not is_there:
        return None
    return open_weights(MOST_ACCURATE[_WEIGHTS] if model is None else f"{model}-{_WEIGHTS}")


def choose_for_machine(
    split: ImageSplit,
    given: Mapping[str, Any],
    compute: Compute,
    *,
    group: ProcessGroup = SINGLE_PROCESS,
    max_seconds: float | None = None,
    weights: InitialWeights | None = None,
) -> ChosenSettings:
    """Choose every setting that the user has not given, for the machine at hand; see `choose_settings`.

    Where a recipe is to be chosen by time, a few steps are measured; several processes take the one for no limit.

    Args:
        split: images to learn from.
        given: settings that the user gave, by name.
        compute: of the training.
        group: the processes that train.
        max_seconds: time for the steps, if there is a limit.
        weights: to begin with; where they name a built-in network, that one is trained.
    Raises:
        ConfigError: if a given setting is unknown, of the wrong type or out of range.
    """
    asked = TrainConfig.from_dict(given)
    budget_flop = None
    if max_seconds is not None and len(split) >= MANY_IMAGES and group.size == 1:
        budget_flop = max_seconds * measure_flop_rate(split, compute, _MEASURING_FRACTION * max_seconds)
    return choose_settings(
        DataFacts.of(split),
        {name: getattr(asked, name) for name in given},
        is_gpu=compute.device.startswith("cuda"),
        budget_flop=budget_flop,
        is_fine_tuning=weights is not None,
        weights_model=weights.model if weights is not None and weights.model in MODEL_NAMES else None,
    )


def choose_settings(
    facts: DataFacts,
    given: Mapping[str, Any] | None = None,
    *,
    is_gpu: bool = False,
    budget_flop: float | None = None,
    is_fine_tuning: bool = False,
    weights_model: str | None = None,
) -> ChosenSettings:
    """Choose every setting that the user has not given.

    Args:
        facts: about the images to learn from.
        given: settings that the user gave, by name.
        is_gpu: the training runs on a GPU.
        budget_flop: floating-point operations that the time allows, if there is a limit.
        is_fine_tuning: the training begins with earlier weights.
        weights_model: the built-in network of these weights, which is trained where none is given.
    Raises:
        ConfigError: if a given setting is out of range.
    """
    given = dict(given or {})
    settings = given if weights_model is None else {"model": weights_model, **given}
    if facts.n < MANY_IMAGES:
        chosen = _for_few_images(facts)
    else:
        chosen = _for_many_images(facts, settings, is_gpu=is_gpu, budget_flop=budget_flop)
    if settings.get("model", chosen.config.model) not in MODEL_NAMES:
        chosen = _with_sgd(chosen, "a network of one's own: SGD, and one image size", resolutions=(1.0,))
    elif is_fine_tuning:
        reason = "earlier weights: their network, at rates that change them slowly; --init none begins with random ones"
        config = chosen.config.replace(**_FINE_TUNING, whiten=False, norm_bias_factor=1.0)
        chosen = ChosenSettings(config, (*chosen.reasons, reason))
    fraction = next((fraction for least, fraction in _HELD_OUT if facts.n >= least), 0.0)
    if fraction:
        chosen = ChosenSettings(chosen.config.replace(validation_fraction=fraction), chosen.reasons)
    config = chosen.config.replace(**settings)
    kept = f" (as given: {', '.join(name.replace('_', '-') for name in given)})" if given else ""
    return ChosenSettings(config, (_describe(config, facts) + kept, *chosen.reasons))


def _for_few_images(facts: DataFacts) -> ChosenSettings:
    """Small batches, many epochs, and larger shifts."""
    _, height, width = facts.image_size
    shorter = min(height, width)
    batch_size = next(size for most, size in _BATCH_SIZES if facts.n < most)
    seen = _SEEN_OF_1000 * (facts.n / 1000) ** _SEEN_POWER
    config = RECIPES["fast"].replace(
        batch_size=batch_size,
        epochs=max(1, round(seen / facts.n)),
        crop_px=min(max(1, shorter // 8), shorter - 1),
        resolutions=_resolutions(height),
    )
    return ChosenSettings(config, ("few images are learned in small batches and many epochs",))


def _resolutions(height: int) -> tuple[float, ...]:
    """Keep small images as they are; shrink larger ones, in the first half of the steps by more."""
    if height <= _LARGEST_PX // 2:
        return (1.0,)
    final = min(1.0, _LARGEST_PX / height)
    return (final / 2, final)


def _for_many_images(
    facts: DataFacts, given: Mapping[str, Any], *, is_gpu: bool, budget_flop: float | None
) -> ChosenSettings:
    """Take the most accurate recipe that the time allows; without a limit `fast`, or on a GPU `best`."""
    if budget_flop is None or given.get("model", "cnn8") not in MODEL_NAMES:
        name = _GPU_RECIPE if is_gpu else _DEFAULT_RECIPE
        where = "a GPU trains it in minutes" if is_gpu else "minutes without a GPU; --max-seconds allows more or less"
        config = RECIPES[name] if is_gpu else _shrink(RECIPES[name], facts)
        return ChosenSettings(config, (f"recipe {name}: {where}",))
    configs = {name: RECIPES[name] if is_gpu else _shrink(RECIPES[name], facts) for name in _RECIPES}
    affordable = [name for name, config in configs.items() if _count_flop(config, facts, given) <= budget_flop]
    time = f"{budget_flop / 1e15:.2g} PFLOP fit into the time"
    if not affordable:
        return ChosenSettings(configs[_RECIPES[0]], (f"recipe {_RECIPES[0]}, shortened: {time}",))
    reason = f"recipe {affordable[-1]}, as long as the time allows: the most accurate that was measured; {time}"
    return ChosenSettings(configs[affordable[-1]], (reason,))


def _shrink(config: TrainConfig, facts: DataFacts) -> TrainConfig:
    """Shrink a recipe's resolutions, so that the largest one has no more than `_LARGEST_PX`."""
    scale = min(1.0, _LARGEST_PX / facts.image_size[1])
    return config.replace(resolutions=tuple(scale * fraction for fraction in config.resolutions))


def _count_flop(config: TrainConfig, facts: DataFacts, given: Mapping[str, Any]) -> float:
    config = config.replace(**{name: value for name, value in given.items() if name != "epochs"})
    return count_training_flop(config, facts.n, facts.image_size, facts.classes)


def _with_sgd(chosen: ChosenSettings, reason: str, **changes: Any) -> ChosenSettings:
    """Take an optimizer that any network learns with, and leave its first weights as they are."""
    config = chosen.config.replace(
        optimizer="sgd", peak_learning_rate=0.05, whiten=False, norm_bias_factor=1.0, **changes
    )
    return ChosenSettings(config, (*chosen.reasons, reason))


def _describe(config: TrainConfig, facts: DataFacts) -> str:
    held_out = round(config.validation_fraction * facts.n)
    steps = config.epochs * -(-(facts.n - held_out) // config.batch_size)
    _, height, width = facts.image_size
    kept = f"; {held_out:,} of the images are held out, to calibrate the probabilities" if held_out else ""
    return (
        f"settings chosen for {facts.n:,} images of {width} x {height} px in {facts.classes} classes: {config.model}, "
        f"{config.epochs} epochs of {config.batch_size} images a step, {steps:,} steps{kept}"
    )
