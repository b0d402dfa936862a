"""`find_learning_rate`: a range test, in which the rate grows step by step until the loss runs away.

Source: Smith 2015, arXiv:1506.01186, section 3.3.
"""

import copy
import itertools
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.errors import ConfigError, ModelError
from visionlib.models import build_model
from visionlib.progress import progress_bar
from visionlib.training.batches import epoch_batches, shown_batches
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute, choose_compute, prepared_process
from visionlib.training.fast_convolutions import fast_convolutions
from visionlib.training.fit import Fit
from visionlib.training.initialization import initialize_model
from visionlib.training.optimizer import make_optimizer
from visionlib.training.rate_rule import cap_losses, smooth_losses, suggest_rate
from visionlib.training.recipes import RECIPES
from visionlib.training.schedule import share_px
from visionlib.training.step import TrainingStep
from visionlib.training.train_run import prepare_fit

Growth = Literal["exponential", "linear"]

_FEWEST_STEPS = 20
_MEMORY = 0.8
_RUNS_AWAY = 4.0
"""The test ends when the mean of the last losses, each weighing 0.8 times the next, is so many times its lowest."""


@dataclass(frozen=True)
class RateFinding:
    """What a range test found.

    Attributes:
        rates: learning rate of each step.
        losses: mean loss of each step's batch, before the step.
        smoothed: the losses as a mean over neighbouring steps, cut off where they run away, see `suggest_rate`.
        suggestion: a peak rate for the schedule.
        rule: how the suggestion was made, as a sentence that goes on after "it is".
        settings: what to change in the settings that it was found for.
        has_diverged: whether the loss ran away; else the highest rate was reached first, and a higher one might do.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    rule: str
    settings: dict[str, float]
    has_diverged: bool

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON."""
        return {
            "suggestion": self.suggestion,
            "rule": self.rule,
            "settings": dict(self.settings),
            "has_diverged": self.has_diverged,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": list(self.smoothed),
        }


def find_learning_rate(
    dataset: str | Path | Dataset,
    config: TrainConfig = RECIPES["quick"],
    *,
    model: nn.Module | None = None,
    lowest: float = 1e-3,
    highest: float = 10.0,
    steps: int = 100,
    growth: Growth = "exponential",
    tell: Callable[[str], None] = lambda line: None,
) -> RateFinding:
    """Train a copy of a network with a growing rate until the loss runs away, and suggest a peak rate.

    Batches, augmentation and optimiser are those of the settings, at their first resolution. The network
    that is given and the generators of random numbers are left as they were, to the bit.

    Args:
        dataset: a dataset, or what `load_dataset` takes; only its training split is read.
        config: the settings that the rate is for.
        model: a network to begin from; by default the settings' own, fresh from its seed.
        lowest: rate of the first step.
        highest: rate of the last step, if the loss does not run away before.
        steps: most steps.
        growth: by equal factors, or by equal amounts.
        tell: takes a line for people at the start.
    Raises:
        ConfigError: if the rates or steps are out of range, or the settings do not fit the dataset or the machine.
        DataError: if the dataset cannot be loaded.
        ModelError: if the network cannot be built or copied, or its loss is no number from the start.
    """
    _check_range(lowest, highest, steps)
    compute = choose_compute(config.device, config.precision, config.threads, kernels=config.kernels)
    tell(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    fit, _ = prepare_fit(source, config, compute)
    rates = [_rate(step, steps, lowest, highest, growth) for step in range(steps)]
    with _kept_random_state(compute, config.seed), prepared_process(compute):
        if model is None:
            learner = build_model(
                config.model, classes=len(source.classes), channels=fit.split.channels, seed=config.seed
            )
        else:
            learner = _copy(model)
        learner.to(device=compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if model is None:
            initialize_model(learner, fit.split, config, fit.mean, fit.std)
        losses, has_diverged = _test_range(learner, fit, rates)
    if not losses:
        raise ModelError(
            type(learner).__name__, "has a loss that is no number from the start", "look at what it puts out"
        )
    rates = rates[: len(losses)]
    smoothed = smooth_losses(cap_losses(losses))
    suggestion, rule = suggest_rate(rates, losses)
    settings = {"peak_learning_rate": suggestion}
    if config.optimizer == "muon" and config.peak_learning_rate:
        # Its filters have a rate of their own, which was tested in the proportion that the settings have.
        share = config.muon_learning_rate / config.peak_learning_rate
        settings["muon_learning_rate"] = min(1.0, suggestion * share)
    return RateFinding(tuple(rates), tuple(losses), tuple(smoothed), suggestion, rule, settings, has_diverged)


def _check_range(lowest: float, highest: float, steps: int) -> None:
    if not (0 < lowest < highest < math.inf):
        raise ConfigError("lowest, highest", f"{lowest:g} and {highest:g} are no range", "set 0 < lowest < highest")
    if steps < _FEWEST_STEPS:
        raise ConfigError("steps", f"{steps} are too few to see a curve", f"set at least {_FEWEST_STEPS}")


def _test_range(model: nn.Module, fit: Fit, rates: list[float]) -> tuple[list[float], bool]:
    """Take a step with each rate; give the finite losses, and whether they ran away before the last one."""
    config = fit.config
    side_px = share_px(config.resolutions[0], fit.split.image_size[0])
    optimizer = make_optimizer(model, config, fit.number_format)
    batches = _endless_batches(fit.split, config)
    losses: list[float] = []
    mean, lowest = math.nan, math.inf
    take_step = TrainingStep(model.train(), optimizer, fit)
    with progress_bar("range test", len(rates), "steps") as show, fast_convolutions(model, fit.compute):
        for rate in rates:
            images, labels = next(batches)
            loss = take_step(images, labels, side_px=side_px, learning_rate=rate)[0].item()
            if not math.isfinite(loss):
                return losses, True
            losses.append(loss)
            mean = loss if len(losses) == 1 else _MEMORY * mean + (1 - _MEMORY) * loss
            lowest = min(lowest, mean)
            show(len(losses), f"rate {rate:.2g}, loss {mean:.3f}")
            if mean > _RUNS_AWAY * lowest:
                return losses, True
    return losses, False


def _rate(step: int, steps: int, lowest: float, highest: float, growth: Growth) -> float:
    share = step / (steps - 1)
    if growth == "linear":
        return lowest + (highest - lowest) * share
    return float(lowest * (highest / lowest) ** share)


def _endless_batches(
    split: ImageSplit, config: TrainConfig
) -> Iterator[tuple[UInt8[Tensor, "_n c h w"], Int64[Tensor, "_n"]]]:
    for epoch in itertools.count():
        batches = epoch_batches(split, config.batch_size, seed=config.seed, epoch=epoch)
        yield from shown_batches(split, batches, config, epoch)


def _copy(model: nn.Module) -> nn.Module:
    """Copy a network with all that belongs to it, so that nothing needs to be put back."""
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever the network's own parts raise
        raise ModelError(
            type(model).__name__, f"cannot be copied ({error})", "give a fresh one by config.model"
        ) from error


@contextmanager
def _kept_random_state(compute: Compute, seed: int) -> Iterator[None]:
    """Draw from the seed while the block runs, such as for dropout, and leave the generators as they were."""
    device = torch.device(compute.device)
    others = random.getstate(), np.random.get_state()  # noqa: NPY002  the one that everybody shares
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(others[0])
            np.random.set_state(others[1])  # noqa: NPY002
