"""A map over its image: coloured, semi-transparent, by default not interpolated."""

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from visionlib.drawing.palette import MAP_COLORMAP


def overlay_maps(
    images: UInt8[Tensor, "n c h w"],
    maps: Float32[Tensor, "n mh mw"],
    *,
    side_px: int = 128,
    is_smooth: bool = False,
    opacity: float = 0.6,
) -> UInt8[Tensor, "n 3 _h _w"]:
    """Blend maps over stored images, both enlarged.

    Cells and pixels are repeated, so that a map of 8 x 8 shows its 8 x 8 cells.

    Args:
        images: stored pixels.
        maps: from 0 to 1, at their own resolution.
        side_px: least height of the result, which is a multiple of the image's height.
        is_smooth: interpolate the maps bilinearly; the values between the cells are not evidence.
        opacity: of the map, from 0 to 1.
    """
    below = enlarge(images, side_px).float()
    size = below.shape[2:]
    above = F.interpolate(maps[:, None], size, mode="bilinear" if is_smooth else "nearest-exact")[:, 0]
    table = torch.from_numpy((mpl.colormaps[MAP_COLORMAP](np.arange(256))[:, :3] * 255).astype(np.float32))
    coloured = table[(above.clamp(0, 1) * 255).round().long()].permute(0, 3, 1, 2)
    return ((1 - opacity) * below + opacity * coloured).round().to(torch.uint8)


def enlarge(images: UInt8[Tensor, "n c h w"], side_px: int = 128) -> UInt8[Tensor, "n 3 _h _w"]:
    """Enlarge stored images by repeating pixels, to a height of at least `side_px`, in three channels."""
    height, width = images.shape[2:]
    factor = max(1, -(-side_px // height))
    grown = F.interpolate(images.float(), (factor * height, factor * width), mode="nearest-exact")
    return grown.to(torch.uint8).expand(-1, 3, -1, -1)
