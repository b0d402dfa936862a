"""What the tests of all networks share: counting, recording calls, and layers written out."""

import torch
from torch import Tensor, nn

BATCH_NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def record_calls(model: nn.Module, inputs: Tensor) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Name, type, output shape and own parameters of every module, in the order in which their forward hooks fire."""
    calls: list[tuple[str, str, tuple[int, ...], int]] = []

    def watch(name: str, module: nn.Module) -> None:
        def hook(called: nn.Module, _: object, output: Tensor) -> None:
            own = sum(p.numel() for p in called.parameters(recurse=False))
            calls.append((name, type(called).__name__, (-1, *output.shape[1:]), own))

        module.register_forward_hook(hook)

    for name, module in model.named_modules():
        watch(name, module)
    model(inputs)
    return calls


def normalize(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    columns = [state[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")]
    mean, variance, weight, bias = columns
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def randomize(module: nn.Module) -> dict[str, Tensor]:
    """Give every weight and statistic a number of its own, so that none can be left out or swapped unnoticed."""
    generator = torch.Generator().manual_seed(1)
    state = module.double().eval().state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.1)
            value.sub_(0.6) if value.ndim == 4 else None
    return state
