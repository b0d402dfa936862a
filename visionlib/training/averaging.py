"""The exponential moving average of the weights, by `torch.optim.swa_utils`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from visionlib.training.config import TrainConfig


class WeightAverage:
    """The average of a model's weights and statistics that a run keeps; nothing without `averaging`.

    The decay grows to its own from 0, as 1 - 10 / (10 + step), so that the first weights are soon forgotten.

    Args:
        model: that learns; tensors of whole numbers are left out.
        config: says whether there is an average, and its decay per step.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self._step, self._decay = 0, config.averaging_decay
        self._model, self._averaged = model, None
        if config.averaging == "ema":
            self._averaged = AveragedModel(model, multi_avg_fn=self._lerp, use_buffers=True)
            self._averaged.n_averaged.fill_(1)  # else the first update would copy the weights
        pairs = zip(self._averages(), self._learned(), strict=True)
        self._unbounded = [pair for pair in pairs if not bool(pair[1].isfinite().all())]

    def update(self, step: int) -> None:
        """Update the average by the weights after a step; 0 is the first step."""
        if self._averaged is not None:
            self._step = step
            self._averaged.update_parameters(self._model)
            for average, tensor in self._unbounded:  # a mask of -inf has no average
                is_average = average.isfinite() & tensor.isfinite()
                average.detach().copy_(torch.where(is_average, average, tensor).detach())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average's weights while the block runs."""
        originals = [tensor.detach().clone() for tensor in self._learned()]
        self.apply()
        try:
            yield
        finally:
            _copy(self._learned(), originals)

    def apply(self) -> None:
        """Give the model the average's weights."""
        _copy(self._learned(), self.state())

    def state(self) -> list[Tensor]:
        """Return the average's tensors, for a checkpoint."""
        return [tensor.detach() for tensor in self._averages()]

    def load(self, state: list[Any]) -> None:
        """Restore the average from a checkpoint.

        Raises:
            ValueError: if it is of another model, or of a run without an average.
        """
        if [tensor.shape for tensor in state] != [tensor.shape for tensor in self.state()]:
            raise ValueError("the average is of another model")
        _copy(self.state(), state)

    def _averages(self) -> list[Tensor]:
        return [] if self._averaged is None else _floating_point(self._averaged.module)

    def _learned(self) -> list[Tensor]:
        return [] if self._averaged is None else _floating_point(self._model)

    @torch.no_grad()
    def _lerp(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _: Tensor | int) -> None:
        decay = min(self._decay, 1 - 10 / (10 + self._step))
        if averages[0].is_floating_point():  # torch hands over tensors of one dtype at a time
            dense = [pair for pair in zip(averages, weights, strict=True) if pair[0].layout == torch.strided]
            if dense:
                torch._foreach_lerp_([average for average, _ in dense], [weight for _, weight in dense], 1 - decay)


def _floating_point(model: nn.Module) -> list[Tensor]:
    """Return the dense tensors of a state dict that have an average; extra state and sparse buffers have none."""
    values = [value for value in model.state_dict(keep_vars=True).values() if isinstance(value, Tensor)]
    return [value for value in values if value.layout == torch.strided and value.is_floating_point()]


@torch.no_grad()
def _copy(tensors: list[Tensor], values: list[Tensor]) -> None:
    if tensors:
        torch._foreach_copy_(tensors, values)
