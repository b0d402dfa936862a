"""One convolution, each of its three products worked out in the way that is fastest for it."""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from visionlib.training.kernels.filter_gradient import filter_gradient
from visionlib.training.patch_products import convolve_patches, patch_filter_gradient, patch_input_gradient


class Ways(NamedTuple):
    """How the outputs, the gradient of the inputs and that of the filters are worked out."""

    outputs: Literal["torch", "patches"] = "torch"
    of_inputs: Literal["torch", "patches"] = "torch"
    of_filters: Literal["torch", "patches", "kernel"] = "torch"


def convolve(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c s s"], stride: int, ways: Ways
) -> Float[Tensor, "n k y x"]:
    """Convolve with filters of 3 x 3, with a border of one zero, or of 1 x 1.

    Args:
        inputs: best in channels-last order.
        filters: best in channels-last order, too; of the same number format.
        stride: in both directions.
        ways: the figures are the same to rounding; each has its limits.
    """
    outputs: Tensor = _Convolution.apply(inputs, filters, stride, ways)  # type: ignore[no-untyped-call]
    return outputs


class _Convolution(torch.autograd.Function):
    """Patches are laid out anew on the way back: nine times the inputs would be a lot to keep."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, filters: Tensor, stride: int, ways: Ways) -> Tensor:
        context.save_for_backward(inputs, filters)
        context.stride, context.ways = stride, ways
        if ways.outputs == "patches":
            return convolve_patches(inputs, filters, stride)
        return F.conv2d(inputs, filters, stride=stride, padding=filters.shape[-1] // 2)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        inputs, filters = context.saved_tensors
        stride, ways, size, gradient = context.stride, context.ways, filters.shape[-1], gradients[0]
        wants_inputs, wants_filters, *_ = context.needs_input_grad
        by_torch = (wants_inputs and ways.of_inputs == "torch", wants_filters and ways.of_filters == "torch")
        of_inputs = of_filters = None
        if any(by_torch):
            of_inputs, of_filters, _ = torch.ops.aten.convolution_backward(
                *(gradient, inputs, filters, None),
                *([stride] * 2, [size // 2] * 2, [1, 1], False, [0, 0], 1, [*by_torch, False]),
            )
        if wants_inputs and ways.of_inputs == "patches":
            of_inputs = patch_input_gradient(gradient, filters, stride, inputs.shape[-2:])
        if wants_filters and ways.of_filters == "patches":
            of_filters = patch_filter_gradient(inputs, gradient, size, stride)
        if wants_filters and ways.of_filters == "kernel":
            of_filters = filter_gradient(inputs, gradient)
        return of_inputs, of_filters, None, None
