"""Many small pictures in one: a sheet of WebP, a tile each."""

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
"""Of WebP; the best that fits is taken. At 80 an image of 32 pixels has some 260 bytes, more where it is noisy, and
hardly anything is lost that an eye would miss."""
_EFFORT = 4


@dataclass(frozen=True)
class SpriteSheet:
    """Pictures side by side, row by row.

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
        """The file as an address that holds it."""
        return f"data:image/webp;base64,{base64.b64encode(self.content).decode()}" if self.n else ""


def make_sheet(images: UInt8[Tensor, "n c h w"], most_px: int, most_bytes: int) -> SpriteSheet:
    """Lay images out on a sheet that is about as wide as high.

    Args:
        images: raw pixels, grey or coloured.
        most_px: height of a tile at most; larger images are shrunk.
        most_bytes: of the sheet, if the lowest quality can keep it.
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
