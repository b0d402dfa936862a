"""The optimizer of the settings: SGD or Muon, its parameter groups, and their rates in a step."""

from typing import Any

import torch
from torch import Tensor, nn

from visionlib.training.config import TrainConfig
from visionlib.training.muon import Muon


def make_optimizer(
    model: nn.Module, config: TrainConfig, dtype: torch.dtype = torch.float32, *, head: nn.Module | None = None
) -> torch.optim.Optimizer:
    """Make the optimizer of the settings.

    Args:
        model: its parameters are trained.
        config: the settings; `set_rates` sets the rates before each step.
        dtype: of Muon's matrix products.
        head: the layer to which `body_rate_factor` does not apply; None for a network without one, where it has no
            effect.
    """
    groups = _group_parameters(model, config)
    if head is not None and config.body_rate_factor != 1:
        groups = _split_body(groups, head, config.body_rate_factor)
    if config.optimizer == "muon":
        return Muon(groups, momentum=config.muon_momentum, sgd_momentum=config.momentum, dtype=dtype)
    return torch.optim.SGD(
        groups,
        lr=config.peak_learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,
    )


def _group_parameters(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Group the parameters: Muon's filters, biases of normalizations if they have a rate of their own, all others."""
    is_muon, factor = config.optimizer == "muon", config.norm_bias_factor
    biases = [
        layer.bias
        for layer in model.modules()
        if factor != 1 and isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.bias is not None
    ]
    bias_ids = {id(bias) for bias in biases}
    others = [p for p in model.parameters() if id(p) not in bias_ids]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if is_muon and p.ndim > 2], "is_orthogonalized": True, "weight_decay": 0.0},
        {"params": [p for p in others if not is_muon or p.ndim <= 2], "weight_decay": config.weight_decay},
        # SGD multiplies the decay by the rate: divided here, it is as strong as in the other weights.
        {"params": biases, "rate_factor": factor, "weight_decay": config.weight_decay / factor},
    ]
    defaults = {"is_orthogonalized": False, "rate_factor": 1.0}
    return [{**defaults, **group} for group in groups if group["params"]]


def _split_body(groups: list[dict[str, Any]], head: nn.Module, factor: float) -> list[dict[str, Any]]:
    """Give the body's parameters their own groups, with a smaller rate; the decay per step shrinks with it."""
    head_ids = {id(parameter) for parameter in head.parameters()}
    split = []
    for group in groups:
        body = [p for p in group["params"] if id(p) not in head_ids]
        own = [p for p in group["params"] if id(p) in head_ids]
        split += [{**group, "params": body, "rate_factor": group["rate_factor"] * factor}, {**group, "params": own}]
    return [group for group in split if group["params"]]


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, learning_rate: float) -> None:
    """Set the rates of a step: the schedule's, and for Muon the same fraction of its own peak."""
    for group in optimizer.param_groups:
        is_muon = group.get("is_orthogonalized", False)
        ratio = config.muon_learning_rate / config.peak_learning_rate if is_muon and config.peak_learning_rate else 1
        rate = learning_rate * ratio * group.get("rate_factor", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
