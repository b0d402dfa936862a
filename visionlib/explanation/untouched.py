"""Looking into a network without changing it, whatever it is wrapped in."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visionlib.errors import ModelError


def unwrap_model(model: nn.Module) -> nn.Module:
    """Give the network itself, out of what distributes or compiles it; hooks within those are not always called."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(original := getattr(model, "_orig_mod", None), nn.Module):
            model = original
        else:
            return model


def find_place(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Tell on which device and in which format a network takes its inputs."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


@contextmanager
def untouched(model: nn.Module, precision: Literal["fp32", "bf16"] = "fp32") -> Iterator[None]:
    """Run the block in evaluation mode and without gradients; then modes and random state are as they were."""
    device, _ = find_place(model)
    modes = [(module, module.training) for module in model.modules()]
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False),
    ):
        model.eval()
        try:
            yield
        finally:
            for module, is_training in modes:
                module.training = is_training


@contextmanager
def hooked(modules: dict[str, nn.Module], see: Callable[[str, nn.Module, Any], None]) -> Iterator[None]:
    """Show `see` what each of the modules puts out, by its name, while the block runs."""

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, args, output: see(name, module, output)

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(make_hook(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_model(model: nn.Module, inputs: Tensor) -> None:
    """Run a network for what can be seen within.

    Raises:
        ModelError: if it does not run on such inputs.
    """
    try:
        model(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        size = " x ".join(map(str, inputs.shape[1:]))
        remedy = "give images such as it was made for"
        raise ModelError(type(model).__name__, f"does not run on inputs of {size} ({error})", remedy) from error
