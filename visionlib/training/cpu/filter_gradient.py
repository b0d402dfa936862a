"""The gradient of 3 x 3 filters on AMX, the matrix unit of Intel CPUs."""

import torch
from torch import Tensor

from visionlib.training.cpu.compile import address, load_kernels

_CHANNELS = 32
"""Channels of two tiles, which are multiplied at once: numbers of channels must be multiples of it."""
_MIN_PIXELS = 36
"""Smaller maps leave most of a tile empty."""


def suits_kernel(inputs: torch.Size, filters: torch.Size) -> bool:
    """Whether the kernel can compute the gradient of these filters, and is fast at it.

    Args:
        inputs: shape, n c h w.
        filters: shape, k c s s.
    """
    *_, height, width = inputs
    is_plain = tuple(filters[-2:]) == (3, 3) and all(channels % _CHANNELS == 0 for channels in filters[:2])
    return is_plain and width % 2 == 0 and height * width >= _MIN_PIXELS


def filter_gradient(inputs: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of 3 x 3 filters, with zero padding of 1 and stride 1.

    Args:
        inputs: n c h w, bf16, of a shape that `suits_kernel`.
        gradient: of the outputs: n k h w, bf16.
    """
    inputs, gradient = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (inputs, gradient))
    (n, c, height, width), k = inputs.shape, gradient.shape[1]
    result = torch.empty(k, c, 3, 3, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    load_kernels().filter_gradient(
        *map(address, (inputs, gradient, result)), n, height, width, c, k, torch.get_num_threads()
    )
    return result
