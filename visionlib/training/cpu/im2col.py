"""Convolutions as matrix products (im2col): the matrix has a row for each patch of pixels that a filter covers.

On a CPU with AMX a large product is several times as fast as the library's convolution where maps are small and
channels many, above all for the filter gradient; the copies of the patches are then small. Filters are 3 x 3 with zero
padding of 1, or 1 x 1. Tensors are best channels-last, in which the pixels of a patch are contiguous, and of one dtype.
How much faster: docs/experiments.md.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def im2col_convolution(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c s s"], stride: int
) -> Float[Tensor, "n k y x"]:
    """Convolve: multiply patches and filters."""
    return _multiply(inputs, filters.permute(2, 3, 1, 0), stride)


def im2col_filter_gradient(
    inputs: Float[Tensor, "n c h w"], gradient: Float[Tensor, "n k y x"], size: int, stride: int
) -> Float[Tensor, "k c s s"]:
    """Return the gradient of filters of a size: the product of the outputs' gradient and the patches."""
    taps = _rows(gradient).t() @ _patches(inputs, size, stride)
    return taps.view(gradient.shape[1], size, size, -1).permute(0, 3, 1, 2)


def im2col_input_gradient(
    gradient: Float[Tensor, "n k y x"], filters: Float[Tensor, "k c s s"], stride: int, sides: torch.Size
) -> Float[Tensor, "n c h w"]:
    """Return the gradient of inputs of a height and width."""
    if stride == 1:
        # A pixel gathers from the outputs around it: the convolution with the flipped filters.
        return _multiply(gradient, filters.flip(2, 3).permute(2, 3, 0, 1), 1)
    return _scatter(gradient, filters, stride, sides)


def _multiply(
    images: Float[Tensor, "n c h w"], taps: Float[Tensor, "s s c k"], stride: int
) -> Float[Tensor, "n k y x"]:
    size, _, _, width = taps.shape
    # By columns or by rows, so that filters of either memory format are not copied.
    by_output = taps.permute(3, 0, 1, 2)
    matrix = by_output.reshape(width, -1).t() if by_output.is_contiguous() else taps.reshape(-1, width)
    outputs = _patches(images, size, stride) @ matrix
    height, across = (-(-side // stride) for side in images.shape[-2:])
    return outputs.view(len(images), height, across, width).permute(0, 3, 1, 2)


def _scatter(
    gradient: Float[Tensor, "n k y x"], filters: Float[Tensor, "k c s s"], stride: int, sides: torch.Size
) -> Float[Tensor, "n c h w"]:
    """Add the gradients of each output's patch to its pixels (col2im)."""
    n, _, height, across = gradient.shape
    size, channels, border = filters.shape[-1], filters.shape[1], filters.shape[-1] // 2
    patches = _rows(gradient) @ filters.permute(0, 2, 3, 1).reshape(len(filters), -1)
    patches = patches.view(n, height, across, size, size, channels)
    rows, columns = stride * (height - 1) + 1, stride * (across - 1) + 1
    padded = gradient.new_zeros(n, sides[0] + 2 * border, sides[1] + 2 * border, channels)
    for y in range(size):
        for x in range(size):
            padded[:, y : y + rows : stride, x : x + columns : stride] += patches[:, :, :, y, x]
    return padded[:, border : border + sides[0], border : border + sides[1]].permute(0, 3, 1, 2)


def _rows(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c"]:
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _patches(images: Float[Tensor, "n c h w"], size: int, stride: int) -> Float[Tensor, "m columns"]:
    """Build the im2col matrix: a row for each output, with the padded pixels around it, each with all channels."""
    if size == 1:
        return _rows(images[:, :, ::stride, ::stride])
    n, channels, *sides = images.shape
    height, across = (-(-side // stride) for side in sides)
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    image_stride, row_stride, pixel_stride, _ = padded.stride()
    # The three pixels in a row of a patch are contiguous, and copied as one.
    windows = padded.as_strided(
        (n, height, across, 3, 3 * channels), (image_stride, row_stride * stride, pixel_stride * stride, row_stride, 1)
    )
    return windows.reshape(-1, 9 * channels)
