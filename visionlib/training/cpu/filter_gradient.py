"""The gradient of the filters of a convolution, on a processor's matrix units."""

import torch
from torch import Tensor

from visionlib.training.cpu.compile import address, load_kernels

_CHANNELS = 32
"""Two tiles of channels are worked on at once, so their numbers must be multiples of this."""
_FEWEST_PIXELS = 36
"""Smaller maps leave most of a tile empty."""


def suits_kernel(inputs: torch.Size, filters: torch.Size) -> bool:
    """Tell whether the kernel can work out the gradient of filters, and is made for it.

    Args:
        inputs: shape, n c h w.
        filters: shape, k c s s.
    """
    *_, height, width = inputs
    is_plain = tuple(filters[-2:]) == (3, 3) and all(channels % _CHANNELS == 0 for channels in filters[:2])
    return is_plain and width % 2 == 0 and height * width >= _FEWEST_PIXELS


def filter_gradient(inputs: Tensor, gradient: Tensor) -> Tensor:
    """Give the gradient of 3 x 3 filters, with a border of one zero and a stride of one.

    Args:
        inputs: n c h w, bf16, of a shape that `suits_kernel`.
        gradient: of the outputs: n k h w, bf16.
    """
    inputs, gradient = (each.contiguous(memory_format=torch.channels_last) for each in (inputs, gradient))
    (n, c, height, width), k = inputs.shape, gradient.shape[1]
    of_filters = torch.empty(k, c, 3, 3, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    load_kernels().filter_gradient(
        *map(address, (inputs, gradient, of_filters)), n, height, width, c, k, torch.get_num_threads()
    )
    return of_filters
