"""Convolutions of small maps with many channels, as products of matrices: a row for each patch of 3 x 3 pixels.

A processor with matrix units (AMX) multiplies large matrices at several times the speed of its library's convolutions
where maps are small and channels many, above all for the gradient of the filters. The copies of the patches are small
there. The figures are the same to rounding; how much faster: docs/experiments.md.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolve_patches(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c 3 3"], stride: int
) -> Float[Tensor, "n k y x"]:
    """Convolve with a border of one zero, forward and backward as products with the patches.

    Args:
        inputs: best in channels-last order, in which a patch's pixels lie together.
        filters: best in channels-last order, too; of the same number format.
        stride: of the patches, in both directions.
    """
    outputs: Tensor = _PatchProduct.apply(inputs, filters, stride)  # type: ignore[no-untyped-call]
    return outputs


class _PatchProduct(torch.autograd.Function):
    """The patches are laid out anew on the way back: nine times the inputs would be a lot to keep."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, filters: Tensor, stride: int) -> Tensor:
        context.save_for_backward(inputs, filters)
        context.stride = stride
        return _multiply_patches(inputs, filters, stride)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        inputs, filters = context.saved_tensors
        stride, (gradient,) = context.stride, gradients
        of_inputs = of_filters = None
        if context.needs_input_grad[1]:
            rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(filters))
            taps = rows.t() @ _patches(inputs, stride)
            of_filters = taps.view(len(filters), 3, 3, -1).permute(0, 3, 1, 2)
        if context.needs_input_grad[0] and stride == 1:
            # The gradient of each pixel gathers from the outputs around it: the same with the filters turned round.
            of_inputs = _multiply_patches(gradient, filters.flip(2, 3).transpose(0, 1), 1)
        elif context.needs_input_grad[0]:
            of_inputs = torch.ops.aten.convolution_backward(
                gradient, inputs, filters, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        return of_inputs, of_filters, None


def _multiply_patches(images: Tensor, filters: Tensor, stride: int) -> Tensor:
    outputs = _patches(images, stride) @ filters.permute(0, 2, 3, 1).reshape(len(filters), -1).t()
    height, width = (-(-side // stride) for side in images.shape[-2:])
    return outputs.view(len(images), height, width, len(filters)).permute(0, 3, 1, 2)


def _patches(images: Float[Tensor, "n c h w"], stride: int) -> Float[Tensor, "patches columns"]:
    """Lay out the 3 x 3 pixels around every place, border of zeros included, as rows: pixel by pixel, all channels."""
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, stride).unfold(2, 3, stride)  # n y x c 3 3
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * images.shape[1])
