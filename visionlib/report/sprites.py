"""Many small images in one WebP picture, a tile each."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from visionlib.report.payload import Sheet

QUALITIES = (80, 65, 50, 35, 20)
"""WebP qualities; the highest that fits is used. At 80 an image of 32 pixels takes some 260 bytes, more if it is noisy,
and looks like the original."""
THUMBNAIL_PX = (16, 12, 8)
"""Heights of thumbnails, the largest that fits is used."""
_THUMBNAIL_QUALITIES = (50, 30, 15)
_EFFORT = 4
_PART = 500


@dataclass(frozen=True)
class SpriteSheet:
    """A picture of tiles, row by row.

    Attributes:
        content: the WebP file; empty for no pictures.
        columns: tiles in a row.
        n: tiles.
        tile_px: height and width of a tile.
        quality: of WebP, up to 100.
    """

    content: bytes
    columns: int
    n: int
    tile_px: tuple[int, int]
    quality: int

    @property
    def data_uri(self) -> str:
        """The file as a data URI; empty without tiles."""
        return f"data:image/webp;base64,{base64.b64encode(self.content).decode()}" if self.n else ""

    def to_dict(self) -> Sheet:
        """Return the sheet for the page's script."""
        height, width = self.tile_px
        return {"uri": self.data_uri, "columns": self.columns, "n": self.n, "height": height, "width": width}


def shrink_images(
    images: UInt8[Tensor, "n c h w"], positions: Int64[Tensor, "m"], most_px: int
) -> UInt8[Tensor, "m c height width"]:
    """Select images, and shrink them to a height where they are larger.

    Args:
        images: pixels as stored.
        positions: of the images to select.
        most_px: largest height.
    """
    height, width = images.shape[2:]
    if height <= most_px:
        return images[positions]
    size = (most_px, max(1, round(width * most_px / height)))
    # In parts: as floats, all of a test split may not fit into memory.
    parts = [
        F.interpolate(images[part].float(), size, mode="bilinear", antialias=True, align_corners=False)
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        for part in torch.split(positions, _PART)
    ]
    return torch.cat(parts) if parts else images.new_zeros((0, images.shape[1], *size))


def make_thumbnails(images: UInt8[Tensor, "n c h w"], positions: Int64[Tensor, "m"], most_bytes: int) -> SpriteSheet:
    """Make the sheet of the largest thumbnails that fit into a size."""
    for most_px in THUMBNAIL_PX:
        sheet = make_sheet(shrink_images(images, positions, most_px), most_bytes, qualities=_THUMBNAIL_QUALITIES)
        if len(sheet.content) <= most_bytes:
            break
    return sheet


def make_sheet(
    images: UInt8[Tensor, "n c h w"], most_bytes: int, *, qualities: Sequence[int] = QUALITIES
) -> SpriteSheet:
    """Arrange images on a sheet of about equal width and height.

    Args:
        images: grayscale or RGB.
        most_bytes: size limit, which may be exceeded at the lowest quality.
        qualities: of WebP, the best first.
    """
    n, _, height, width = images.shape
    if not n:
        return SpriteSheet(b"", 1, 0, (height, width), qualities[0])
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows, columns, height, width, 3), dtype=np.uint8)
    tiles = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    sheet.reshape(rows * columns, height, width, 3)[:n] = tiles
    pixels = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    for quality in qualities:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=_EFFORT)
        if buffer.tell() <= most_bytes:
            break
    return SpriteSheet(buffer.getvalue(), columns, n, (height, width), quality)
