"""Convolutions of maps of two by two pixels or fewer, as one product.

In such maps every pixel meets every other one, and more than half of a 3 x 3 kernel's places meet the border's zeros.
Libraries for processors work all of them out. As a linear layer of the flattened map nothing is left to skip. Networks
come to such maps where they are trained on shrunk images: a ResNet-18 at 16 px. How much faster: docs/experiments.md.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolve_small_map(inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c 3 3"]) -> Float[Tensor, "n k h w"]:
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
