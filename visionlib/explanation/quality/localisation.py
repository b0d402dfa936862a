"""Whether maps point at the object, where it is known which pixels belong to it."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

TOLERANCE = 0.03
"""How far from the object a maximum may be, as a share of the image's side."""


def point_at_objects(maps: Float32[Tensor, "n mh mw"], masks: Bool[Tensor, "n h w"]) -> Bool[Tensor, "n"]:
    """Tell for each map whether its maximum lies on the object.

    The maximum is a cell, and the object must lie within 3 % of the image's side of the pixel in its middle, at least
    one pixel: the tolerance of 15 pixels in photographs of 500 that the game is played with. Of several equal cells
    the first in reading order counts. A constant map has no maximum, and misses.

    Source: the pointing game of Zhang et al. 2016, arXiv:1608.00507.
    """
    height, width = masks.shape[1:]
    near = max(1, round(TOLERANCE * min(height, width)))
    masks = F.max_pool2d(masks[:, None].float(), 2 * near + 1, stride=1, padding=near)[:, 0] > 0
    rows, columns = maps.shape[1:]
    cells = maps.flatten(1).argmax(1)
    row = ((cells // columns + 0.5) * height / rows).long()
    column = ((cells % columns + 0.5) * width / columns).long()
    is_constant = maps.amax((1, 2)) == maps.amin((1, 2))
    return masks[torch.arange(len(masks)), row, column] & ~is_constant


def share_on_objects(maps: Float32[Tensor, "n mh mw"], masks: Bool[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Give for each map the share of its evidence that lies on the object; 0 for a map without evidence.

    A cell that the object covers in part counts in part.
    """
    covered = F.adaptive_avg_pool2d(masks[:, None].float(), (maps.shape[1], maps.shape[2]))[:, 0]
    total = maps.sum((1, 2))
    return torch.where(total > 0, (maps * covered).sum((1, 2)) / total.clamp(min=1e-30), 0.0)


def share_of_objects(masks: Bool[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Give the share of each image that its object covers: what a map without any knowledge would reach."""
    return masks.float().mean((1, 2))
