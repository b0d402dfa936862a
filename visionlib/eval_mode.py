"""Run a network, of whatever kind and in whatever wrapper, and leave it as it was found."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]


@contextmanager
def eval_mode(model: nn.Module, *, precision: Precision = "fp32", has_gradients: bool = False) -> Iterator[nn.Module]:
    """Put a network in eval mode with frozen weights, while the block runs.

    Afterwards every module has the mode, every parameter the `requires_grad` and every random generator the state that
    it had, also if the block raises. Statistics of normalizations are read in eval mode and never updated. Gradients of
    weights are never written: with `has_gradients`, take others by `torch.autograd.grad`.

    Args:
        model: also one wrapped by DataParallel, DistributedDataParallel or `torch.compile`.
        precision: of convolutions and products; bf16 by autocast, which weights in float16 do without.
        has_gradients: switch gradients on, also within a caller's `no_grad` or `inference_mode`; by default they are
            off.
    Yields:
        The network inside its wrappers.
    """
    inner = unwrap_model(model)
    device, dtype = input_format(inner)
    # A normalization whose weights are float16 does not run within bf16 autocast.
    is_autocast = precision == "bf16" and dtype != torch.float16
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in inner.parameters() if parameter.requires_grad] if has_gradients else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if has_gradients:
            # A tensor made in inference mode refuses gradients for good, so that mode ends first.
            stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(has_gradients))
        # No cache: within a caller's own autocast, a torch that keeps casts made without gradients (not 2.13) would
        # hand them to the training that follows.
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=is_autocast, cache_enabled=False))
        try:
            model.eval()
            for parameter in trainable:
                parameter.requires_grad = False
            yield inner
        finally:
            for parameter in trainable:
                parameter.requires_grad = True
            for module, is_training in modes:
                module.training = is_training


def unwrap_model(model: nn.Module) -> nn.Module:
    """Take a network out of its wrappers for distribution and compilation, which do not always call hooks within."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(original := getattr(model, "_orig_mod", None), nn.Module):
            model = original
        else:
            return model


def input_format(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the dtype of a network's inputs: those of its first floating-point tensor."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32
