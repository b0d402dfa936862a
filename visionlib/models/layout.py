"""How a network's tensors lie in memory: channels-last where that applies, each with memory of its own, none lazy."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from visionlib.errors import ModelError
from visionlib.eval_mode import input_format

_IMAGE_DIMENSIONS = 4


def prepare_layout(model: nn.Module) -> nn.Module:
    """Lay out a network's tensors for training and loading, in place; values and their sharing stay.

    - Weights of four dimensions become channels-last; `nn.Module.to` would refuse a network that has five, too.
    - An expanded tensor, whose elements share memory, cannot be written to: it gets a number for each element.
    """
    for tensor in _dense_tensors(model):
        if _is_expanded(tensor):
            tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)
        if tensor.ndim == _IMAGE_DIMENSIONS:
            # Not contiguous(): it would leave the strides of a 1x1 filter, and so another kernel might be chosen.
            tensor.data = tensor.detach().to(memory_format=torch.channels_last)
    return model


def initialize_lazy(model: nn.Module, input_size: tuple[int, int, int], *, seed: int = 0) -> None:
    """Initialize the lazy layers of a network, if there are any, by forward passes; generators keep their state.

    Args:
        model: in any mode, which it keeps; statistics of normalizations are not updated.
        input_size: channels, height and width of an image.
        seed: of the weights.
    Raises:
        ModelError: if a forward pass raises, or a lazy layer takes part in none.
    """
    if not list_lazy(model):
        return
    device = input_format(model)[0]
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed) if device.type == "cuda" else torch.default_generator.manual_seed(seed)
        try:
            for is_training in (False, True):  # a head that only training uses is initialized by the second
                if list_lazy(model):
                    _run_forward(model.train(is_training), torch.zeros(2, *input_size, device=device))
        finally:
            for module, mode in modes:
                module.training = mode
    if remaining := list_lazy(model):
        problem = f"its lazy layer {remaining[0].rpartition('.')[0]} takes part in no forward pass"
        raise ModelError(type(model).__name__, problem, "remove the layer, or use one with its sizes given")


def list_lazy(model: nn.Module) -> list[str]:
    """List the names of parameters and buffers that are not initialized yet."""
    named = itertools.chain(model.named_parameters(), model.named_buffers())
    return [name for name, tensor in named if is_lazy(tensor)]


def _run_forward(model: nn.Module, inputs: Tensor) -> None:
    """Run a forward pass that leaves the initialized buffers as they are."""
    buffers = [buffer for buffer in model.buffers() if not is_lazy(buffer)]
    originals = [buffer.clone() for buffer in buffers]
    try:
        model(inputs)
    except Exception as error:  # a user's code can raise anything
        problem = f"its lazy layers cannot be initialized: forward raised {type(error).__name__}: {error}"
        remedy = f"it must take a batch of shape {tuple(inputs.shape)}"
        raise ModelError(type(model).__name__, problem, remedy) from error
    for buffer, original in zip(buffers, originals, strict=True):
        if buffer.layout == torch.strided and not _is_expanded(buffer):
            buffer.copy_(original)


def _dense_tensors(model: nn.Module) -> Iterator[Tensor]:
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if not is_lazy(tensor) and tensor.layout == torch.strided and not tensor.is_quantized:
            yield tensor


def _is_expanded(tensor: Tensor) -> bool:
    """Return whether a dense tensor has more elements than its strides span numbers in memory."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.numel() > max(span, 0)
