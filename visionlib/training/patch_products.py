"""Convolutions as products of matrices: a row for each patch of pixels that a filter sees.

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
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c s s"], stride: int, *, only_way_back: bool = False
) -> Float[Tensor, "n k y x"]:
    """Convolve with filters of 3 x 3, with a border of one zero, or of 1 x 1, as products with the patches.

    Args:
        inputs: best in channels-last order, in which a patch's pixels lie together.
        filters: best in channels-last order, too; of the same number format.
        stride: of the patches, in both directions: 1 or 2.
        only_way_back: leave to torch the outputs, and the gradient of the inputs of 3 x 3 filters.
    """
    outputs: Tensor = _PatchProduct.apply(inputs, filters, stride, only_way_back)  # type: ignore[no-untyped-call]
    return outputs


class _PatchProduct(torch.autograd.Function):
    """The patches are laid out anew on the way back: nine times the inputs would be a lot to keep."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, filters: Tensor, stride: int, only_way_back: bool) -> Tensor:
        context.save_for_backward(inputs, filters)
        context.stride, context.only_way_back = stride, only_way_back
        if only_way_back:
            return F.conv2d(inputs, filters, stride=stride, padding=filters.shape[-1] // 2)
        return _multiply_patches(inputs, filters.permute(2, 3, 1, 0), stride)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        inputs, filters = context.saved_tensors
        stride, size, (gradient,) = context.stride, filters.shape[-1], gradients
        of_inputs = of_filters = None
        if context.needs_input_grad[1]:
            taps = _rows(gradient).t() @ _patches(inputs, size, stride)
            of_filters = taps.view(len(filters), size, size, -1).permute(0, 3, 1, 2)
        if context.needs_input_grad[0] and context.only_way_back and size == 3:
            of_inputs = torch.ops.aten.convolution_backward(
                gradient, inputs, filters, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        elif context.needs_input_grad[0] and stride == 1:
            # The gradient of each pixel gathers from the outputs around it: the same with the filters turned round.
            of_inputs = _multiply_patches(gradient, filters.flip(2, 3).permute(2, 3, 0, 1), 1)
        elif context.needs_input_grad[0]:
            of_inputs = _scatter_patches(gradient, filters, stride, inputs.shape[-2:])
        return of_inputs, of_filters, None, None


def _multiply_patches(
    images: Float[Tensor, "n c h w"], taps: Float[Tensor, "s s c k"], stride: int
) -> Float[Tensor, "n k y x"]:
    size, _, channels, width = taps.shape
    # Columns or rows: whichever way the filters lie in memory already, they are not copied.
    lies_by_output = taps.permute(3, 0, 1, 2).is_contiguous()
    matrix = taps.permute(3, 0, 1, 2).reshape(width, -1).t() if lies_by_output else taps.reshape(-1, width)
    outputs = _patches(images, size, stride) @ matrix
    height, across = (-(-side // stride) for side in images.shape[-2:])
    return outputs.view(len(images), height, across, width).permute(0, 3, 1, 2)


def _scatter_patches(
    gradient: Float[Tensor, "n k y x"], filters: Float[Tensor, "k c s s"], stride: int, sides: torch.Size
) -> Float[Tensor, "n c h w"]:
    """Add what each output gives back to the pixels of its patch, where those came from."""
    n, _, height, width = gradient.shape
    (size, channels), border = (filters.shape[-1], filters.shape[1]), filters.shape[-1] // 2
    given = _rows(gradient) @ filters.permute(0, 2, 3, 1).reshape(len(filters), -1)
    given = given.view(n, height, width, size, size, channels)
    spread = [stride * (side - 1) + 1 for side in (height, width)]
    rows, columns = (max(side + 2 * border, size - 1 + across) for side, across in zip(sides, spread, strict=True))
    padded = gradient.new_zeros(n, rows, columns, channels)
    for y in range(size):
        for x in range(size):
            padded[:, y : y + spread[0] : stride, x : x + spread[1] : stride] += given[:, :, :, y, x]
    inner = padded[:, border : border + sides[0], border : border + sides[1]]
    return inner.permute(0, 3, 1, 2)


def _rows(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c"]:
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _patches(images: Float[Tensor, "n c h w"], size: int, stride: int) -> Float[Tensor, "patches columns"]:
    """Lay out the pixels around every place, border of zeros included, as rows: pixel by pixel, all channels."""
    if size == 1:
        return _rows(images[:, :, ::stride, ::stride])
    n, channels, *sides = images.shape
    height, width = (-(-side // stride) for side in sides)
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    of_image, of_row, of_pixel, _ = padded.stride()
    # The three pixels in a row of a patch lie together, and are copied as one.
    windows = padded.as_strided(
        (n, height, width, 3, 3 * channels), (of_image, of_row * stride, of_pixel * stride, of_row, 1)
    )
    return windows.reshape(-1, 9 * channels)
