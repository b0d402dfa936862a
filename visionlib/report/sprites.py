"""Many small images in one WebP picture, a tile each."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

QUALITIES = (80, 65, 50, 35, 20)
"""WebP qualities; the highest that fits is used. At 80 an image of 32 pixels takes some 260 bytes, more if it is noisy,
and looks like the original."""
_EFFORT = 4


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


def make_sheet(images: UInt8[Tensor, "n c h w"], most_px: int, most_bytes: int) -> SpriteSheet:
    """Arrange images on a sheet of about equal width and height.

    Args:
        images: pixels as stored, grayscale or RGB.
        most_px: largest height of a tile; larger images are shrunk.
        most_bytes: size limit, which may be exceeded at the lowest quality.
    """
    n, _, height, width = images.shape
    if not n:
        return SpriteSheet(b"", 1, 0, (height, width), QUALITIES[0])
    if height > most_px:
        size = (most_px, max(1, round(width * most_px / height)))
        shrunk = F.interpolate(images.float(), size, mode="bilinear", antialias=True, align_corners=False)
        images, (height, width) = shrunk.round().clamp(0, 255).to(torch.uint8), size
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows, columns, height, width, 3), dtype=np.uint8)
    tiles = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    sheet.reshape(rows * columns, height, width, 3)[:n] = tiles
    pixels = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=_EFFORT)
        if buffer.tell() <= most_bytes:
            break
    return SpriteSheet(buffer.getvalue(), columns, n, (height, width), quality)
