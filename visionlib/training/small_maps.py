"""Convolutions of small maps as products of matrices, where that is faster.

In maps of two by two or fewer every pixel meets every other one, and more than half of a 3 x 3 kernel's places meet the
border's zeros. Libraries for processors work all of them out. As a linear layer of the flattened map nothing is left to
skip. Networks come to such maps where they are trained on shrunk images: a ResNet-18 at 16 px. Processors with matrix
units gain with somewhat larger maps, too, see `patch_products`. The figures are the same to rounding; how much faster:
docs/experiments.md.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visionlib.training.device import has_cpu_feature
from visionlib.training.patch_products import convolve_patches

_LARGEST_SIDE = 2


class _Patches(NamedTuple):
    """Where products with patches gain on a processor with AMX: up to a side of the output, from so many channels on.

    Of the channels of input and output, `fewest` is the smaller number and `most` the larger one.
    """

    side: int
    fewest: int
    most: int


_BOTH_WAYS = _Patches(4, 256, 256)
_WAY_BACK = (_Patches(4, 128, 128), _Patches(8, 128, 256))


@contextmanager
def small_maps_as_products(model: nn.Module, device: str) -> Iterator[None]:
    """Let a model's convolutions treat small maps so while the block runs; other maps go through as ever.

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
    size, padding = layer.kernel_size[0], layer.padding[0]
    return (
        (layer.kernel_size, layer.padding) == ((size, size), (padding, padding))
        and (size, padding, layer.stride) in {(3, 1, (1, 1)), (3, 1, (2, 2)), (1, 0, (2, 2))}
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.bias is None
        and layer.padding_mode == "zeros"
    )


def _convolve(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    if inputs.ndim != 4:
        return nn.Conv2d.forward(layer, inputs)
    side_px, size, stride = max(inputs.shape[-2:]), layer.kernel_size[0], layer.stride[0]
    if size == 3 and stride == 1 and side_px <= _LARGEST_SIDE:
        return convolve_as_product(*_as_autocast(inputs, layer.weight))
    if not _has_matrix_units():
        return nn.Conv2d.forward(layer, inputs)
    gains = functools.partial(_gains, layer, -(-side_px // stride))
    if size == 3 and gains(_BOTH_WAYS):
        return convolve_patches(*_as_autocast(inputs, layer.weight), stride)
    if size == 1 or any(map(gains, _WAY_BACK)):
        return convolve_patches(*_as_autocast(inputs, layer.weight), stride, only_way_back=True)
    return nn.Conv2d.forward(layer, inputs)


def _gains(layer: nn.Conv2d, side: int, where: _Patches) -> bool:
    fewest, most = sorted(layer.weight.shape[:2])
    return side <= where.side and fewest >= where.fewest and most >= where.most


def _has_matrix_units() -> bool:
    """Tell it by what the hardware says, never by a clock: the same machine must give the same bits every time."""
    is_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return is_bf16 and has_cpu_feature("amx_bf16")


def _as_autocast(inputs: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Give both in the number format of autocast, before they are laid out as matrices with a weight several times."""
    if not torch.is_autocast_enabled("cpu"):
        return inputs, filters
    return inputs.to(torch.get_autocast_dtype("cpu")), filters.to(torch.get_autocast_dtype("cpu"))
