"""Convolutions of maps of at most 2 x 2 pixels, as one matrix product.

In such a map every output depends on every pixel, and more than half of a 3 x 3 filter covers the zero padding, which
CPU libraries multiply as well. A linear layer of the flattened map computes the rest alone. Networks reach such maps
where they are trained on shrunk images: a ResNet-18 at 16 px. How much faster: docs/experiments.md.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolve_small_map(inputs: Float[Tensor, "n c h w"], filters: Float[Tensor, "k c 3 3"]) -> Float[Tensor, "n k h w"]:
    """Convolve with zero padding of 1, by a matrix with a row for each channel and position of the output.

    Args:
        inputs: at most 2 x 2 pixels; best channels-last, which needs no copy.
        filters: best channels-last.
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
