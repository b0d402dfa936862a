"""Averages of the weights over the steps: what a run keeps instead of, or learns on from, the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.training.config import TrainConfig

LOOKAHEAD_EVERY_STEPS = 5


class WeightAverage:
    """An average of a model's weights and statistics, brought up to date after each step.

    `ema`: the exponential moving average, with a decay that grows to its own from 0, as 1 - 10 / (10 + step), so that
    the first weights are soon forgotten. The model learns on from its own weights; the run keeps the average.

    `lookahead`: every five steps the average moves towards the weights, less and less so, by
    1 - decay^5 (step / steps)^3, and the model learns on from the average. At the end it is the average.

    Args:
        model: whose weights are averaged; those that are not numbers of floating point are left out.
        config: tells which kind, and its decay per step.
        total_steps: of the whole run.
    Source: lookahead is Zhang et al. 2019, arXiv:1907.08610; its decay over the run is that of Jordan 2024,
        arXiv:2404.00498.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, total_steps: int) -> None:
        self._kind, self._decay, self._total_steps = config.averaging, config.averaging_decay, total_steps
        self._own = [] if self._kind == "none" else _floating(model)
        self._average = [tensor.detach().clone() for tensor in self._own]
        self._statistics = [at for at, tensor in enumerate(self._own) if not isinstance(tensor, nn.Parameter)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step; 0 is the first step."""
        if not self._own:
            return
        if self._kind == "ema":
            decay = min(self._decay, 1 - 10 / (10 + step))
            torch._foreach_lerp_(self._average, self._own, 1 - decay)
        elif (step + 1) % LOOKAHEAD_EVERY_STEPS == 0:
            decay = self._decay**LOOKAHEAD_EVERY_STEPS * ((step + 1) / self._total_steps) ** 3
            torch._foreach_lerp_(self._average, self._own, 1 - decay)
            torch._foreach_copy_(self._own, self._average)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model be its average while the block runs."""
        kept = [tensor.detach().clone() for tensor in self._own] if self._kind == "ema" else []
        if kept:
            _copy(self._own, self._average)
        try:
            yield
        finally:
            if kept:
                _copy(self._own, kept)

    def finish(self) -> None:
        """Make the model its average for good, at the end of a run."""
        _copy(self._own, self._average)

    def state(self) -> list[Tensor]:
        """Give what a checkpoint must hold."""
        return self._average

    def statistics(self) -> list[Tensor]:
        """Give the averages of normalisation statistics, of which each of several processes has its own."""
        return [self._average[at] for at in self._statistics]

    def load(self, state: list[Any], statistics: list[Any]) -> None:
        """Go on from what a checkpoint holds.

        Args:
            state: what `state` gave in the first process.
            statistics: what `statistics` gave in this one.
        Raises:
            ValueError: if it is of another model, or of a run without this average.
        """
        if [tensor.shape for tensor in state] != [tensor.shape for tensor in self._average]:
            raise ValueError("the average is of another model")
        _copy(self._average, state)
        _copy(self.statistics(), statistics)


def _floating(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict(keep_vars=True).values() if tensor.is_floating_point()]


@torch.no_grad()
def _copy(tensors: list[Tensor], values: list[Tensor]) -> None:
    if tensors:
        torch._foreach_copy_(tensors, values)
