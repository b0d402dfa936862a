"""`find_learning_rate`: a range test, in which the learning rate grows step by step until the loss diverges.

Source: Smith 2015, arXiv:1506.01186, section 3.3.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from jaxtyping import UInt8
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.errors import ConfigError, ModelError
from visionlib.inference.device import compute_environment
from visionlib.models.registry import network_name
from visionlib.progress import progress_bar
from visionlib.runs import Run
from visionlib.training.batches import Targets, augmented_batches, epoch_batches
from visionlib.training.config import TrainConfig
from visionlib.training.defaults import choose_for_machine, choose_initial_weights
from visionlib.training.initialization import initialize_model
from visionlib.training.job import TrainingJob, choose_training_compute, make_job
from visionlib.training.network_check import check_network
from visionlib.training.optimizer import make_optimizer
from visionlib.training.preserved_state import copy_network, seeded_generators
from visionlib.training.rate_rule import cap_losses, plan_next_test, smooth_losses, suggest_rate
from visionlib.training.schedule import scale_side
from visionlib.training.step import TrainingStep

Growth = Literal["exponential", "linear"]

_MIN_STEPS = 20
_LOSS_DECAY = 0.8
_DIVERGED = 4.0
"""The test ends when the moving average of the losses, with a decay of 0.8, is this factor above its minimum."""


@dataclass(frozen=True)
class RateFinding:
    """The result of a range test.

    Attributes:
        rates: learning rate of each step.
        losses: mean loss of each step's batch, before the step.
        smoothed: the losses as a mean over neighbouring steps, capped where they diverge, see `suggest_rate`.
        suggestion: a peak rate for the schedule; None where the test cannot tell.
        rule: how the suggestion was made, as the end of a sentence that begins with "it is"; without a suggestion a
            sentence with the reason, and the number of steps to take.
        settings: settings to change, with their values; empty without a suggestion.
        has_diverged: whether the loss diverged; else the highest rate was reached first, and a higher one might do.
        next_test: without a suggestion, arguments of `find_learning_rate` for a test that can tell; else empty.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    rule: str
    settings: dict[str, float]
    has_diverged: bool
    next_test: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return every number for JSON."""
        return {
            "suggestion": self.suggestion,
            "rule": self.rule,
            "settings": dict(self.settings),
            "has_diverged": self.has_diverged,
            "next_test": dict(self.next_test),
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": list(self.smoothed),
        }


def find_learning_rate(
    dataset: str | Path | Dataset,
    config: TrainConfig | Mapping[str, Any] = MappingProxyType({}),
    *,
    model: nn.Module | None = None,
    init: str | os.PathLike[str] | Run | None = "auto",
    lowest: float = 1e-3,
    highest: float = 10.0,
    steps: int = 100,
    growth: Growth = "exponential",
    log: Callable[[str], None] = lambda line: None,
) -> RateFinding:
    """Train a copy of a network with a growing rate until the loss diverges, and suggest a peak rate.

    Batches, augmentation and optimizer are those of the settings, at their first resolution. The given network and the
    random generators keep their state, to the bit.

    Args:
        dataset: a dataset, or what `load_dataset` takes; only its training split is read.
        config: the settings that the rate is for, all or some, as in `train`.
        model: a network to begin from; by default that of the settings, initialized by their seed.
        init: weights to begin with, as in `train`.
        lowest: rate of the first step.
        highest: rate of the last step, if the loss does not diverge before.
        steps: maximum number of steps.
        growth: by equal factors, or by equal amounts.
        log: takes a line at the start.
    Raises:
        ConfigError: if the rates or steps are out of range, or the settings do not fit the dataset or the machine.
        DataError: if the dataset cannot be loaded.
        ModelError: if the network cannot be built or copied, its first loss is not finite, or `init` does not fit it.
    """
    _check_range(lowest, highest, steps)
    compute = choose_training_compute(config if isinstance(config, TrainConfig) else TrainConfig.from_dict(config))
    log(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    named = {} if model is None else {"model": network_name(model)}
    given = {**(config.to_dict() if isinstance(config, TrainConfig) else config), **named}
    if model is not None and init == "auto":
        init = None  # a network that was passed has its own weights
    weights = choose_initial_weights(init, source.train, config if isinstance(config, TrainConfig) else given)
    if isinstance(config, TrainConfig):
        config = config.replace(**named)
    else:
        config = choose_for_machine(source.train, given, compute, weights=weights).config
    model = None if model is None else copy_network(model)
    job, _ = make_job(source, config, compute, network=model, init=weights)
    rates = [_rate(step, steps, lowest, highest, growth) for step in range(steps)]
    with seeded_generators(compute, config.seed), compute_environment(compute):
        learner = job.build_model()
        if model is None:
            initialize_model(learner, job)
        check_network(learner, job)
        losses, has_diverged = _test_range(learner, job, rates)
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        raise ModelError(
            type(learner).__name__, "has a loss that is no number from the start", "look at what it puts out"
        )
    suggestion, rule = suggest_rate(rates[: len(losses)], losses)
    rates = rates[: len(finite)]
    return RateFinding(
        tuple(rates),
        tuple(finite),
        tuple(smooth_losses(cap_losses(finite))),
        suggestion,
        rule,
        {} if suggestion is None else _suggested_settings(config, suggestion),
        has_diverged,
        plan_next_test(rates) if suggestion is None else {},
    )


def _suggested_settings(config: TrainConfig, peak: float) -> dict[str, float]:
    settings = {"peak_learning_rate": peak}
    if config.optimizer == "muon" and config.peak_learning_rate:
        # Muon's rate was tested in the proportion that the settings give.
        settings["muon_learning_rate"] = min(1.0, peak * config.muon_learning_rate / config.peak_learning_rate)
    return settings


def _check_range(lowest: float, highest: float, steps: int) -> None:
    if not (0 < lowest < highest < math.inf):
        raise ConfigError("lowest, highest", f"{lowest:g} and {highest:g} are no range", "set 0 < lowest < highest")
    if steps < _MIN_STEPS:
        raise ConfigError("steps", f"{steps} are too few to see a curve", f"set at least {_MIN_STEPS}")


def _test_range(model: nn.Module, job: TrainingJob, rates: list[float]) -> tuple[list[float], bool]:
    """Take a step with each rate; return the losses, the last one perhaps not finite, and whether they diverged."""
    config = job.config
    side_px = scale_side(config.resolutions[0], job.split.image_size[0])
    optimizer = make_optimizer(model, config, job.compute.dtype, head=job.find_head(model))
    batches = _endless_batches(job.split, config, job.compute.device)
    losses: list[float] = []
    mean, lowest = math.nan, math.inf
    take_step = TrainingStep(job.set_training_mode(model), optimizer, job)
    with progress_bar("range test", len(rates), "steps") as show:
        for rate in rates:
            images, targets = next(batches)
            loss = take_step(images, targets, side_px=side_px, learning_rate=rate)[0].item()
            losses.append(loss)
            if not math.isfinite(loss):
                return losses, True
            mean = loss if len(losses) == 1 else _LOSS_DECAY * mean + (1 - _LOSS_DECAY) * loss
            lowest = min(lowest, mean)
            show(len(losses), f"rate {rate:.2g}, loss {mean:.3f}")
            if mean > _DIVERGED * lowest:
                return losses, True
    return losses, False


def _rate(step: int, steps: int, lowest: float, highest: float, growth: Growth) -> float:
    fraction = step / (steps - 1)
    if growth == "linear":
        return lowest + (highest - lowest) * fraction
    return float(lowest * (highest / lowest) ** fraction)


def _endless_batches(
    split: ImageSplit, config: TrainConfig, device: str
) -> Iterator[tuple[UInt8[Tensor, "_n c h w"], Targets]]:
    for epoch in itertools.count():
        batches = epoch_batches(
            split,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            balance=config.balance,
            stream_shards=config.stream_shards,
        )
        yield from augmented_batches(split, batches, config, device=device, is_mixing=config.mix_end > 0)
