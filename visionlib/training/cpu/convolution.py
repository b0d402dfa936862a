"""Convolutions of a training on a CPU, each of their three products by the fastest known algorithm for its shape.

Requirements:
- The choice follows from shapes and from what the CPU reports, never from a timing: the same machine must give the same
  bits every time. The measurements behind it: docs/experiments.md.
- Outputs and gradients equal torch's to rounding.
- Outside the block the network is untouched, also a `forward` that a user has set on an instance.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visionlib.inference.device import has_cpu_feature
from visionlib.training.cpu.filter_gradient import filter_gradient, suits_kernel
from visionlib.training.cpu.im2col import im2col_convolution, im2col_filter_gradient, im2col_input_gradient
from visionlib.training.cpu.small_maps import convolve_small_map

_SMALL_MAP_PX = 2
"""Largest side of a map that is convolved as one product, on any CPU."""


class Algorithms(NamedTuple):
    """The algorithm of each of a convolution's products."""

    outputs: Literal["torch", "im2col"] = "torch"
    input_gradient: Literal["torch", "im2col"] = "torch"
    filter_gradient: Literal["torch", "im2col", "kernel"] = "torch"


@contextmanager
def accelerated_convolutions(layers: Sequence[nn.Conv2d], *, has_kernels: bool) -> Iterator[None]:
    """Replace the forward pass of convolutions while the block runs.

    Args:
        layers: convolutions that `is_supported` accepts.
        has_kernels: whether this library's kernels are loaded.
    """
    for layer in layers:
        layer.forward = functools.partial(_convolve, layer, has_kernels)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def is_supported(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution of a kind that has a faster algorithm here.

    One whose `forward` is set on the instance is not: somebody else has replaced it.
    """
    if type(layer) is not nn.Conv2d or "forward" in vars(layer):
        return False
    size, padding, stride = layer.kernel_size[0], layer.padding[0], layer.stride[0]
    return (
        (layer.kernel_size, layer.padding, layer.stride) == ((size, size), (padding, padding), (stride, stride))
        and (size, padding, stride) in {(3, 1, 1), (3, 1, 2), (1, 0, 2)}
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.bias is None
        and layer.padding_mode == "zeros"
    )


def choose_algorithms(inputs: torch.Size, filters: torch.Size, stride: int, *, has_kernels: bool) -> Algorithms:
    """Choose the fastest algorithms of a convolution in bf16 on a CPU with AMX.

    Args:
        inputs: shape, n c h w.
        filters: shape, k c s s.
        stride: in both directions.
        has_kernels: whether this library's kernels are loaded.
    """
    side = -(-max(inputs[-2:]) // stride)
    fewer, more = sorted(filters[:2])
    if filters[-1] == 1:
        return Algorithms(input_gradient="im2col", filter_gradient="im2col")
    if side <= 4 and fewer >= 256:
        return Algorithms("im2col", "im2col", "im2col")
    if (side <= 4 and fewer >= 128) or (side <= 6 and fewer >= 128 and more >= 256):
        return Algorithms(filter_gradient="im2col")
    if has_kernels and stride == 1 and suits_kernel(inputs, filters):
        return Algorithms(filter_gradient="kernel")
    if side <= 8 and fewer >= 128 and more >= 256:
        return Algorithms(filter_gradient="im2col")
    return Algorithms()


def convolve(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c s s"], stride: int, algorithms: Algorithms
) -> Float[Tensor, "n k y x"]:
    """Convolve with 3 x 3 filters and zero padding of 1, or with 1 x 1 filters.

    Args:
        inputs: best channels-last.
        filters: best channels-last; of the same dtype.
        stride: in both directions.
        algorithms: each has its limits, see `choose_algorithms`; results agree to rounding.
    """
    outputs: Tensor = _Convolution.apply(inputs, filters, stride, algorithms)  # type: ignore[no-untyped-call]
    return outputs


class _Convolution(torch.autograd.Function):
    """The im2col matrix is built again in the backward pass: nine times the inputs would be a lot to keep."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, filters: Tensor, stride: int, algorithms: Algorithms) -> Tensor:
        context.save_for_backward(inputs, filters)
        context.stride, context.algorithms = stride, algorithms
        if algorithms.outputs == "im2col":
            return im2col_convolution(inputs, filters, stride)
        return F.conv2d(inputs, filters, stride=stride, padding=filters.shape[-1] // 2)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        inputs, filters = context.saved_tensors
        stride, algorithms, size, gradient = context.stride, context.algorithms, filters.shape[-1], gradients[0]
        needs_inputs, needs_filters, *_ = context.needs_input_grad
        by_torch = (
            needs_inputs and algorithms.input_gradient == "torch",
            needs_filters and algorithms.filter_gradient == "torch",
        )
        of_inputs = of_filters = None
        if any(by_torch):
            of_inputs, of_filters, _ = torch.ops.aten.convolution_backward(
                *(gradient, inputs, filters, None),
                *([stride] * 2, [size // 2] * 2, [1, 1], False, [0, 0], 1, [*by_torch, False]),
            )
        if needs_inputs and algorithms.input_gradient == "im2col":
            of_inputs = im2col_input_gradient(gradient, filters, stride, inputs.shape[-2:])
        if needs_filters and algorithms.filter_gradient == "im2col":
            of_filters = im2col_filter_gradient(inputs, gradient, size, stride)
        if needs_filters and algorithms.filter_gradient == "kernel":
            of_filters = filter_gradient(inputs, gradient)
        return of_inputs, of_filters, None, None


def _convolve(layer: nn.Conv2d, has_kernels: bool, inputs: Tensor) -> Tensor:
    if inputs.ndim != 4:
        return nn.Conv2d.forward(layer, inputs)
    size, stride = layer.kernel_size[0], layer.stride[0]
    if size == 3 and stride == 1 and max(inputs.shape[-2:]) <= _SMALL_MAP_PX:
        return convolve_small_map(*_as_autocast(inputs, layer.weight))
    algorithms = Algorithms()
    if _multiplies_bf16():
        algorithms = choose_algorithms(inputs.shape, layer.weight.shape, stride, has_kernels=has_kernels)
    if algorithms == Algorithms():
        return nn.Conv2d.forward(layer, inputs)
    return convolve(*_as_autocast(inputs, layer.weight), stride, algorithms)


def _multiplies_bf16() -> bool:
    is_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return is_bf16 and has_cpu_feature("amx_bf16")


def _as_autocast(inputs: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Cast both to autocast's dtype before they are laid out as matrices, in which a weight stands several times."""
    if not torch.is_autocast_enabled("cpu"):
        return inputs, filters
    return inputs.to(torch.get_autocast_dtype("cpu")), filters.to(torch.get_autocast_dtype("cpu"))
