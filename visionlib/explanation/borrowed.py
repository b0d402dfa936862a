"""A network, borrowed: whatever is done with it in the block, afterwards it is as it was."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from visionlib.explanation.untouched import unwrap_model


@contextmanager
def borrowed(model: nn.Module) -> Iterator[nn.Module]:
    """Give the network in evaluation mode with frozen weights, and gradients switched on, while the block runs.

    Afterwards every module has its mode, every weight its `requires_grad`, the generators of random numbers their
    state, also if the block raises. Gradients are not written to: the maps take them by `torch.autograd.grad`.

    Args:
        model: also one wrapped by DistributedDataParallel or `torch.compile`, of which the inside is given.
    """
    inside = unwrap_model(model)
    modes = [(module, module.training) for module in inside.modules()]
    wanting = [parameter for parameter in inside.parameters() if parameter.requires_grad]
    with ExitStack() as stack:
        # Out of the caller's inference mode, which would forbid gradients whatever else is switched on.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(inside)))
        try:
            inside.eval()
            for parameter in wanting:
                parameter.requires_grad = False
            yield inside
        finally:
            for parameter in wanting:
                parameter.requires_grad = True
            for module, is_training in modes:
                module.training = is_training


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted(
        {p.device.index for p in model.parameters() if p.device.type == "cuda" and p.device.index is not None}
    )
