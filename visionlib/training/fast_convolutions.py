"""Let the convolutions of a network that learns on a processor go the fastest way that is known for their shape.

Which way that is follows from the shape and from what the processor reports, never from a clock: the same machine must
give the same bits every time. The measurements behind it: docs/experiments.md.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from visionlib.training.convolution import Ways, convolve
from visionlib.training.device import Compute, has_cpu_feature
from visionlib.training.kernels.filter_gradient import suits_kernel
from visionlib.training.small_maps import convolve_small_map

_SMALL = 2
"""Largest side of a map that is convolved as one product, on any processor."""


@contextmanager
def fast_convolutions(model: nn.Module, compute: Compute) -> Iterator[None]:
    """Let a model's convolutions go the fastest way while the block runs; the figures are the same to rounding.

    Args:
        model: convolutions of kinds that nothing is known for stay as they are.
        compute: what it runs on; only processors gain.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Conv2d and _is_known(layer)]
    layers = layers if compute.device == "cpu" else []
    for layer in layers:
        layer.forward = functools.partial(_convolve, layer, compute.kernels == "own")  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _is_known(layer: nn.Conv2d) -> bool:
    size, padding, stride = layer.kernel_size[0], layer.padding[0], layer.stride[0]
    return (
        (layer.kernel_size, layer.padding, layer.stride) == ((size, size), (padding, padding), (stride, stride))
        and (size, padding, stride) in {(3, 1, 1), (3, 1, 2), (1, 0, 2)}
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.bias is None
        and layer.padding_mode == "zeros"
    )


def _convolve(layer: nn.Conv2d, has_own_kernels: bool, inputs: Tensor) -> Tensor:
    if inputs.ndim != 4:
        return nn.Conv2d.forward(layer, inputs)
    size, stride = layer.kernel_size[0], layer.stride[0]
    if size == 3 and stride == 1 and max(inputs.shape[-2:]) <= _SMALL:
        return convolve_small_map(*_as_autocast(inputs, layer.weight))
    ways = find_ways(inputs.shape, layer.weight.shape, stride, has_own_kernels) if _multiplies_bf16() else Ways()
    if ways == Ways():
        return nn.Conv2d.forward(layer, inputs)
    return convolve(*_as_autocast(inputs, layer.weight), stride, ways)


def find_ways(inputs: torch.Size, filters: torch.Size, stride: int, has_own_kernels: bool) -> Ways:
    """Give the fastest ways of a convolution in bf16 on a processor with matrix units.

    Args:
        inputs: shape, n c h w.
        filters: shape, k c s s.
        stride: in both directions.
        has_own_kernels: whether this library's kernels are there.
    """
    side = -(-max(inputs[-2:]) // stride)
    fewer, more = sorted(filters[:2])
    if filters[-1] == 1:
        return Ways(of_inputs="patches", of_filters="patches")
    if side <= 4 and fewer >= 256:
        return Ways("patches", "patches", "patches")
    if (side <= 4 and fewer >= 128) or (side <= 6 and fewer >= 128 and more >= 256):
        return Ways(of_filters="patches")
    if has_own_kernels and stride == 1 and suits_kernel(inputs, filters):
        return Ways(of_filters="kernel")
    if side <= 8 and fewer >= 128 and more >= 256:
        return Ways(of_filters="patches")
    return Ways()


def _multiplies_bf16() -> bool:
    is_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return is_bf16 and has_cpu_feature("amx_bf16")


def _as_autocast(inputs: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Give both in the number format of autocast, before they are laid out as matrices with a weight several times."""
    if not torch.is_autocast_enabled("cpu"):
        return inputs, filters
    return inputs.to(torch.get_autocast_dtype("cpu")), filters.to(torch.get_autocast_dtype("cpu"))
