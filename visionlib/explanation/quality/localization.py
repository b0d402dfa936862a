"""Localization of the object by maps, where masks of the object are known."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

TOLERANCE = 0.03
"""Largest distance of a maximum from the object, as a fraction of the image's side."""


def point_at_objects(maps: Float32[Tensor, "n mh mw"], masks: Bool[Tensor, "n h w"]) -> Bool[Tensor, "n"]:
    """Test for each map whether its maximum lies on the object.

    The object must lie within 3 % of the image's side, and at least one pixel, of the pixel in the centre of the
    maximum's cell. The paper's tolerance is the same: 15 pixels in images of 500. Of several equal maxima the first in
    reading order counts. A constant map is a miss.

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


def fraction_on_objects(maps: Float32[Tensor, "n mh mw"], masks: Bool[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Return the fraction of each map's evidence on the object; 0 for a map without evidence.

    The evidence of a cell counts in proportion to the part that the object covers.
    """
    covered = F.adaptive_avg_pool2d(masks[:, None].float(), (maps.shape[1], maps.shape[2]))[:, 0]
    total = maps.sum((1, 2))
    return torch.where(total > 0, (maps * covered).sum((1, 2)) / total.clamp(min=1e-30), 0.0)


def mask_fractions(masks: Bool[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Return the fraction of each image that its object covers: the expected value for an uninformative map."""
    return masks.float().mean((1, 2))
