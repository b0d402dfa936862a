"""Maps of the input's pixels, to compare with the maps of layers.

Their baseline is the mean colour of the training images, which is 0 after normalization.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.explanation.gradients import differentiate_inputs, score_classes

INTEGRATION_STEPS = (16, 48, 144, 432)
"""Numbers of steps that are tried one after another: the midpoints of three times as many include those before."""
LARGEST_GAP = 0.01
"""Largest relative gap of completeness that ends the integration."""
OCCLUSION_CELLS = 8
"""Number of cells along each side."""


def gradient(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n h w"]:
    """Sum the absolute gradient of the logit over the channels of each pixel: Simonyan et al. 2013, arXiv:1312.6034."""
    return differentiate_inputs(model, inputs, classes).abs().sum(1)


def gradient_x_input(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n h w"]:
    """Multiply gradient and pixel, and keep the positive part: Shrikumar et al. 2016, arXiv:1605.01713."""
    return (differentiate_inputs(model, inputs, classes) * inputs).sum(1).relu()


@dataclass(frozen=True, eq=False)
class Attributions:
    """Attributions of integrated gradients.

    Attributes:
        values: per pixel and channel, of either sign.
        gaps: of completeness, per image: the difference between the sum of the attributions and that of the logits,
            relative to the latter; infinite where the logits are equal and the attributions are not 0.
        steps: of the integration, per image.
    """

    values: Float32[Tensor, "n c h w"]
    gaps: Float32[Tensor, "n"]
    steps: Int64[Tensor, "n"]

    @property
    def maps(self) -> Float32[Tensor, "n h w"]:
        """The positive part of each pixel's attribution."""
        return self.values.sum(1).relu()


def integrate_gradients(
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    steps: tuple[int, ...] = INTEGRATION_STEPS,
) -> Attributions:
    """Attribute the difference of the logit between the image and the mean colour to the pixels.

    The gradient is averaged along the straight line between the two, at the midpoints of equal steps. The attributions
    of an image sum to the difference, up to the error of this quadrature: completeness. Images with a gap above 1 % get
    more steps. Autocast is off, since rounding to bf16 alone causes a larger gap.

    Args:
        model: inside `eval_mode` with gradients.
        inputs: normalized images.
        classes: of the logits.
        steps: numbers of steps to try, each three times the one before.
    Source: Sundararajan et al. 2017, arXiv:1703.01365.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        with torch.no_grad():
            differences = score_classes(model, inputs, classes)
            differences = differences - score_classes(model, torch.zeros_like(inputs), classes)
        sums, gaps = torch.zeros_like(inputs), torch.full_like(differences, torch.inf)
        taken = torch.zeros_like(classes)
        for count in steps:
            (rows,) = torch.where(gaps > LARGEST_GAP)
            for step in range(count if len(rows) else 0):
                if count == steps[0] or step % 3 != 1:
                    sums[rows] += differentiate_inputs(model, inputs[rows] * ((step + 0.5) / count), classes[rows])
            taken[rows] = count
            found = (sums[rows] / count * inputs[rows]).sum((1, 2, 3))
            errors = (found - differences[rows]).abs()
            gaps[rows] = torch.where(errors > 0, errors / differences[rows].abs(), 0.0)
    return Attributions(sums / taken.view(-1, 1, 1, 1) * inputs, gaps, taken)


@torch.no_grad()
def occlusion(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n mh mw"]:
    """Measure how much the logit drops when a cell of the image is covered: Zeiler and Fergus 2013, arXiv:1311.2901.

    Returns:
        A value per cell of 8 x 8, or one per pixel along a shorter side; 0 where covering raises the logit.
    """
    height, width = inputs.shape[-2:]
    rows, columns = (min(OCCLUSION_CELLS, side) for side in (height, width))
    row_of, column_of = cells_of(height, rows, inputs.device), cells_of(width, columns, inputs.device)
    uncovered = score_classes(model, inputs, classes)
    drops = torch.zeros(len(inputs), rows, columns, device=inputs.device)
    for row in range(rows):
        for column in range(columns):
            is_covered = (row_of == row)[:, None] & (column_of == column)
            drops[:, row, column] = uncovered - score_classes(model, inputs.masked_fill(is_covered, 0.0), classes)
    return drops.relu()


def cells_of(side: int, cells: int, device: torch.device | None = None) -> Int64[Tensor, "side"]:
    """Return the cell that the centre of each pixel along a side lies in."""
    return ((torch.arange(side, device=device) + 0.5) * cells / side).long()
