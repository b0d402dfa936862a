"""Convolutions of maps of two by two or fewer, as one product of matrices each.

There every pixel of the map meets every other one, and more than half of a 3 x 3 kernel's places meet the border's
zeros. Libraries for processors work all of them out. As a linear layer of the flattened map nothing is left to skip.
Networks come to such maps where they are trained on shrunk images: a ResNet-18 at 16 px. The figures are the same to
rounding; how much faster: docs/experiments.md.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LARGEST_SIDE = 2


@contextmanager
def small_maps_as_products(model: nn.Module, device: str) -> Iterator[None]:
    """Let a model's 3 x 3 convolutions treat small maps so while the block runs; other maps go through as ever.

    Args:
        model: whatever else its convolutions are, they stay as they are.
        device: what it runs on; only processors gain.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Conv2d and _is_plain(layer)]
    layers = layers if device == "cpu" else []
    for layer in layers:
        layer.forward = functools.partial(_convolve, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def convolve_as_product(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c 3 3"]
) -> Float[Tensor, "n k h w"]:
    """Convolve with a border of one zero, by a matrix with a row for each channel and place of the output.

    Args:
        inputs: at most two by two pixels; best in channels-last order, in which nothing of them is copied.
        filters: best in channels-last order, too.
    """
    n, _, height, width = inputs.shape
    taps = filters.permute(0, 2, 3, 1)
    rows = [
        taps[:, 1 - y : 1 - y + height, 1 - x : 1 - x + width].reshape(len(filters), -1)
        for y in range(height)
        for x in range(width)
    ]
    outputs = F.linear(inputs.permute(0, 2, 3, 1).reshape(n, -1), torch.cat(rows))
    return outputs.view(n, height, width, len(filters)).permute(0, 3, 1, 2)


def _is_plain(layer: nn.Conv2d) -> bool:
    return (
        layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.bias is None
        and layer.padding_mode == "zeros"
    )


def _convolve(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    if inputs.ndim != 4 or max(inputs.shape[-2:]) > _LARGEST_SIDE:
        return nn.Conv2d.forward(layer, inputs)
    filters = layer.weight
    if torch.is_autocast_enabled("cpu"):
        # Before it is laid out as a matrix, which holds each weight up to four times.
        filters = filters.to(torch.get_autocast_dtype("cpu"))
    return convolve_as_product(inputs, filters)
