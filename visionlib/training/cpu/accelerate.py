"""The entry point: which kernels a training uses, and a network that uses them."""

import dataclasses
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.inference.device import Compute, has_cpu_feature
from visionlib.training.cpu.compile import KernelError, load_kernels
from visionlib.training.cpu.convolution import accelerated_convolutions, is_supported
from visionlib.training.cpu.fusion import fuse_norms


def choose_kernels(compute: Compute, setting: Literal["auto", "on", "off"]) -> Compute:
    """Choose between this library's kernels and torch's; the former are compiled now if they never were.

    Args:
        compute: of the training.
        setting: `auto` takes this library's kernels on CPUs with AVX512-BF16, in bf16, with a C++ compiler.
    Returns:
        The same, with the kernels, and with the reason if auto could not have this library's.
    Raises:
        ConfigError: if this library's are asked for and cannot be had.
    """
    obstacle = _find_obstacle(compute) if setting != "off" else None
    if obstacle and setting == "on":
        needs_bf16 = compute.device == "cpu" and compute.precision != "bf16" and has_cpu_feature("avx512_bf16")
        fix = "add --precision bf16, or leave it at auto" if needs_bf16 else "leave it at auto"
        raise ConfigError("kernels", f"this library's own cannot be had: {obstacle}", fix)
    reason = compute.reason
    if obstacle and compute.precision == "bf16" and compute.device == "cpu":
        reason += f"; no own kernels: {obstacle}"
    return dataclasses.replace(compute, reason=reason, kernels="torch" if setting == "off" or obstacle else "own")


def accelerate(model: nn.Module, compute: Compute, *, has_fixed_graph: bool) -> nn.Module:
    """Return a network with the same parameters, to call in training steps; outputs agree to rounding.

    Args:
        model: stays as it is, and learns: the parameters are shared.
        compute: of the training; on a GPU the network itself is returned.
        has_fixed_graph: whether the forward pass does the same for every batch, so that it can be traced once and its
            normalizations fused.
    Raises:
        ConfigError: if the graph is not fixed after all.
    """
    if compute.device != "cpu":
        return model
    has_kernels = compute.kernels == "own"
    called = fuse_norms(model) if has_kernels and has_fixed_graph else model
    layers = [layer for layer in model.modules() if is_supported(layer)]
    return _Accelerated(called, layers, has_kernels) if layers else called


class _Accelerated(nn.Module):
    """Calls a network whose convolutions are replaced during the call, so that at all other times it is as it was."""

    def __init__(self, called: nn.Module, layers: list[nn.Conv2d], has_kernels: bool) -> None:
        super().__init__()
        self.called, self._layers, self._has_kernels = called, tuple(layers), has_kernels

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Tensor:
        with accelerated_convolutions(self._layers, has_kernels=self._has_kernels):
            outputs: Tensor = self.called(inputs)
        return outputs


def _find_obstacle(compute: Compute) -> str | None:
    """Say why this library's kernels cannot be had; None if they can."""
    if compute.device != "cpu" or compute.precision != "bf16" or not has_cpu_feature("avx512_bf16"):
        return "they are for CPUs with AVX512-BF16, in bf16"
    try:
        load_kernels()
    except KernelError as error:
        return str(error)
    return None
