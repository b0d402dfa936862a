"""What Pillow passes over in PNG files: metadata behind the pixels, and a transparent value of other than 8 bits."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_ORIENTED = ("exif", "Raw profile type exif", "XML:com.adobe.xmp")
"""Where Pillow keeps metadata that may hold an orientation: from eXIf, from ImageMagick's older text, from XMP."""
_SIGNATURE_BYTES = 8
_DEPTH_AT = 24
_KEYED_MODES = frozenset({"1", "L", "I;16", "RGB"})


def has_orientation(image: PngImagePlugin.PngImageFile, source: bytes | Path) -> bool:
    """Return whether a PNG may hold an orientation; decode it first only if it has metadata behind the pixels.

    Args:
        image: as opened from `source`.
        source: the file, or its bytes.
    """
    if not any(key in image.info for key in _ORIENTED) and _has_late_metadata(source):
        image.load()
    return any(key in image.info for key in _ORIENTED)


def _has_late_metadata(source: bytes | Path) -> bool:
    """Jump from chunk to chunk, and see whether metadata follows the first chunk of pixels."""
    with _open(source) as file:
        file.seek(_SIGNATURE_BYTES)
        is_late = False
        while len(head := file.read(8)) == 8:
            kind = head[4:]
            is_late |= kind == b"IDAT"
            if is_late and kind in _METADATA:
                return True
            file.seek(int.from_bytes(head[:4]) + 4, io.SEEK_CUR)
    return False


def whiten_transparent_value(image: Image.Image, source: bytes | Path) -> Image.Image:
    """Return an image whose pixels of the transparent value (tRNS) are white; others are returned as they are.

    The value has the file's bit depth, and Pillow scales or cuts the pixels to 8 bits before it compares. A palette
    is left to Pillow, which is right there.
    """
    key = image.info.get("transparency")
    if image.format != "PNG" or image.mode not in _KEYED_MODES or key is None:
        return image
    with _open(source) as file:
        file.seek(_DEPTH_AT)
        depth = file.read(1)[0]
    # "If the image bit depth is less than 16 bits, the least significant bits are used": PNG specification, tRNS.
    values = np.atleast_1d(key) & (2**depth - 1)
    pixels = np.asarray(image)
    if depth == 16 and image.mode == "RGB":
        is_clear = ((pixels == values >> 8) & (_read_low_bytes(source) == values & 255)).all(-1)
    else:
        scale = 255 // (2**depth - 1) if image.mode == "L" else 1
        is_clear = (pixels == values * scale).reshape(*pixels.shape[:2], -1).all(-1)
    pixels = pixels.copy()
    pixels[is_clear] = np.iinfo(pixels.dtype).max if pixels.dtype != bool else True
    return Image.fromarray(pixels)


def _read_low_bytes(source: bytes | Path) -> np.ndarray:
    """Decode a PNG of 16-bit colour once more, now the lower byte of each sample."""
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=("PNG",)) as image:
        # Pillow takes the first byte of each pair. Told that the order is reversed, it takes the second one.
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(image)


def _open(source: bytes | Path) -> io.BufferedIOBase:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
