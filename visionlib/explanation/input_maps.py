"""Maps on the pixels of the input themselves: a second opinion beside those of the layers.

The reference of all of them is the mean colour of the training images, which is 0 after normalising.
"""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.explanation.gradients import differentiate_inputs, score_classes

INTEGRATION_STEPS = 16
OCCLUSION_CELLS = 8
"""Cells along each side that are covered, one after another."""


def gradient(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n h w"]:
    """Tell how much the logit changes with each pixel, in either direction: Simonyan et al. 2013, arXiv:1312.6034."""
    return differentiate_inputs(model, inputs, classes).abs().sum(1)


def gradient_x_input(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n h w"]:
    """Multiply gradient and pixel; what speaks for the class: Shrikumar et al. 2016, arXiv:1605.01713."""
    return (differentiate_inputs(model, inputs, classes) * inputs).sum(1).relu()


def integrated_gradients(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n h w"]:
    """Give the part of each pixel's share in the logit that speaks for the class; see `integrate_gradients`."""
    return integrate_gradients(model, inputs, classes).sum(1).relu()


def integrate_gradients(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], steps: int = INTEGRATION_STEPS
) -> Float32[Tensor, "n c h w"]:
    """Give each pixel's share in the difference of the logit from that of the mean colour.

    The gradient is averaged along the straight way from one to the other, at the middles of equal steps; the shares of
    an image sum up to the difference, but for the error of that sum. Sundararajan et al. 2017, arXiv:1703.01365.
    """
    total = torch.zeros_like(inputs)
    for step in range(steps):
        total += differentiate_inputs(model, inputs * ((step + 0.5) / steps), classes)
    return total / steps * inputs


@torch.no_grad()
def occlusion(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n mh mw"]:
    """Tell how much lower the logit is when a cell of the image is covered: Zeiler and Fergus 2013, arXiv:1311.2901.

    Returns:
        A value per cell, 8 x 8 or fewer for images with fewer pixels; 0 where covering raises the logit.
    """
    height, width = inputs.shape[-2:]
    rows, columns = (min(OCCLUSION_CELLS, side) for side in (height, width))
    row_of, column_of = cells_of(height, rows, inputs.device), cells_of(width, columns, inputs.device)
    whole = score_classes(model, inputs, classes)
    drops = torch.zeros(len(inputs), rows, columns, device=inputs.device)
    for row in range(rows):
        for column in range(columns):
            is_covered = (row_of == row)[:, None] & (column_of == column)
            drops[:, row, column] = whole - score_classes(model, inputs.masked_fill(is_covered, 0.0), classes)
    return drops.relu()


def cells_of(side: int, cells: int, device: torch.device | None = None) -> Int64[Tensor, "side"]:
    """Give for each pixel of a side the cell that its middle lies in."""
    return ((torch.arange(side, device=device) + 0.5) * cells / side).long()
