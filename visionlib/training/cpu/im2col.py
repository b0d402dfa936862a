"""Convolutions as products of matrices, with a row for each patch of pixels that a filter sees.

A processor with matrix units (AMX) multiplies large matrices at several times the speed of its library's convolutions
where maps are small and channels many, above all for the gradient of the filters. The copies of the patches are small
there. Filters are of 3 x 3, with a border of one zero, or of 1 x 1. All is best in channels-last order, in which a
patch's pixels lie together, and of one number format. How much faster: docs/experiments.md.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def im2col_convolution(
    inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c s s"], stride: int
) -> Float[Tensor, "n k y x"]:
    """Convolve: multiply the patches with the filters."""
    return _multiply(inputs, filters.permute(2, 3, 1, 0), stride)


def im2col_filter_gradient(
    inputs: Float[Tensor, "n c h w"], gradient: Float[Tensor, "n k y x"], size: int, stride: int
) -> Float[Tensor, "k c s s"]:
    """Give the gradient of filters of a size: multiply the gradient of the outputs with the patches."""
    taps = _rows(gradient).t() @ _patches(inputs, size, stride)
    return taps.view(gradient.shape[1], size, size, -1).permute(0, 3, 1, 2)


def im2col_input_gradient(
    gradient: Float[Tensor, "n k y x"], filters: Float[Tensor, "k c s s"], stride: int, sides: torch.Size
) -> Float[Tensor, "n c h w"]:
    """Give the gradient of inputs of two sides."""
    if stride == 1:
        # Each pixel gathers from the outputs around it: the same with the filters turned round.
        return _multiply(gradient, filters.flip(2, 3).permute(2, 3, 0, 1), 1)
    return _scatter(gradient, filters, stride, sides)


def _multiply(
    images: Float[Tensor, "n c h w"], taps: Float[Tensor, "s s c k"], stride: int
) -> Float[Tensor, "n k y x"]:
    size, _, _, width = taps.shape
    # Columns or rows: whichever way the filters lie in memory already, they are not copied.
    by_output = taps.permute(3, 0, 1, 2)
    matrix = by_output.reshape(width, -1).t() if by_output.is_contiguous() else taps.reshape(-1, width)
    outputs = _patches(images, size, stride) @ matrix
    height, across = (-(-side // stride) for side in images.shape[-2:])
    return outputs.view(len(images), height, across, width).permute(0, 3, 1, 2)


def _scatter(
    gradient: Float[Tensor, "n k y x"], filters: Float[Tensor, "k c s s"], stride: int, sides: torch.Size
) -> Float[Tensor, "n c h w"]:
    """Add what each output gives back to the pixels of its patch, at their places."""
    n, _, height, across = gradient.shape
    size, channels, border = filters.shape[-1], filters.shape[1], filters.shape[-1] // 2
    given = _rows(gradient) @ filters.permute(0, 2, 3, 1).reshape(len(filters), -1)
    given = given.view(n, height, across, size, size, channels)
    rows, columns = stride * (height - 1) + 1, stride * (across - 1) + 1
    padded = gradient.new_zeros(n, sides[0] + 2 * border, sides[1] + 2 * border, channels)
    for y in range(size):
        for x in range(size):
            padded[:, y : y + rows : stride, x : x + columns : stride] += given[:, :, :, y, x]
    return padded[:, border : border + sides[0], border : border + sides[1]].permute(0, 3, 1, 2)


def _rows(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c"]:
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _patches(images: Float[Tensor, "n c h w"], size: int, stride: int) -> Float[Tensor, "m columns"]:
    """Lay out the pixels around every place, border of zeros included, as rows: pixel by pixel, all channels."""
    if size == 1:
        return _rows(images[:, :, ::stride, ::stride])
    n, channels, *sides = images.shape
    height, across = (-(-side // stride) for side in sides)
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    of_image, of_row, of_pixel, _ = padded.stride()
    # The three pixels in a row of a patch lie together, and are copied as one.
    windows = padded.as_strided(
        (n, height, across, 3, 3 * channels), (of_image, of_row * stride, of_pixel * stride, of_row, 1)
    )
    return windows.reshape(-1, 9 * channels)
