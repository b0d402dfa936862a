"""Orientation and transparency of PNG files written chunk by chunk, as Pillow does not write them."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from visionlib.data.decode import Picture, decode_pictures

N = 16


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows: list[bytes], depth: int, colour: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """Write a PNG of N x N pixels without filters, with chunks before and after its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", N, N, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND", b"")


def decode(content: bytes | Path) -> np.ndarray:
    images, *_ = decode_pictures(
        [Picture("x.png", content)], image_size=None, description="decoding", describe=lambda: ""
    )
    return images[0].permute(1, 2, 0).numpy()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags.tobytes()[6:]


def text_profile(orientation: int) -> bytes:
    """As ImageMagick wrote EXIF before 2017."""
    profile = b"Exif\0\0" + exif(orientation)
    text = b"\nexif\n%8d\n" % len(profile) + profile.hex().encode() + b"\n"
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


PIXELS = np.random.default_rng(0).integers(0, 256, (N, N, 3), dtype=np.uint8)
ROWS = [row.tobytes() for row in PIXELS]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("place", ["before", "after", "text", "late text", "in a file"])
def test_the_orientation_is_applied_wherever_it_stands(place: str, orientation: int, tmp_path: Path) -> None:
    after = text_profile(orientation) if "text" in place else chunk(b"eXIf", exif(orientation))
    is_before = place in ("before", "text")
    content = png(ROWS, 8, 2, before=after if is_before else b"", after=b"" if is_before else after)
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(decode(path if place == "in a file" else content), expected)
    assert np.array_equal(expected, PIXELS) == (orientation == 1)


def test_a_turned_picture_is_as_wide_as_it_is_shown(tmp_path: Path) -> None:
    slim = Image.fromarray(PIXELS[:, :10])
    tags = Image.Exif()
    tags[0x112] = 6
    slim.save(tmp_path / "x.png", exif=tags)
    assert decode(tmp_path / "x.png").shape == (10, 16, 3)


@pytest.mark.parametrize(
    "chunks",
    [
        chunk(b"eXIf", b"nonsense"),
        chunk(b"eXIf", exif(9)),
        chunk(b"eXIf", exif(0)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n   3\nzzz\n")),
        chunk(b"tEXt", b"Comment\0nothing"),
    ],
)
def test_metadata_without_sense_leaves_the_pixels(chunks: bytes) -> None:
    assert np.array_equal(decode(png(ROWS, 8, 2, after=chunks)), PIXELS)
    assert np.array_equal(decode(png(ROWS, 8, 2, before=chunks)), PIXELS)


def pack(values: np.ndarray, depth: int) -> list[bytes]:
    """Pack rows of gray values below 2 ** depth."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in values]
    bits = (values[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in bits]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("upper_bits", [0, 0xFF00])
def test_the_transparent_gray_value_is_white_at_every_depth(depth: int, upper_bits: int) -> None:
    """The upper bits of a value with fewer than 16 bits do not count."""
    values = np.random.default_rng(depth).integers(0, 2**depth, (N, N))
    key = int(values[3, 5])
    stored = key if depth == 16 else key | upper_bits
    got = decode(png(pack(values, depth), depth, 0, before=chunk(b"tRNS", struct.pack(">H", stored))))[..., 0]
    plain = values >> 8 if depth == 16 else values * 255 // (2**depth - 1)
    assert np.array_equal(got, np.where(values == key, 255, plain))
    assert (values == key).any()


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_is_white_and_its_neighbors_stay(depth: int) -> None:
    """Also a colour that differs in the lower byte alone, which 8 bits cannot tell from it."""
    values = np.random.default_rng(0).integers(0, 2**depth, (N, N, 3))
    key = np.array([7, 250, 131]) if depth == 8 else np.array([1000, 2000, 3000])
    values[:4] = key
    values[4:6] = key + np.array([1, 0, 0])
    values[6:8] = key - np.array([0, 0, 1])
    rows = [row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in values]
    got = decode(png(rows, depth, 2, before=chunk(b"tRNS", struct.pack(">HHH", *key))))
    assert (got[:4] == 255).all()
    assert np.array_equal(got[4:], (values[4:] >> 8 if depth == 16 else values[4:]))


def test_a_transparent_value_turns_with_its_picture() -> None:
    values = np.zeros((N, N), dtype=int)
    values[:4] = 3
    chunks = chunk(b"tRNS", struct.pack(">H", 3))
    got = decode(png(pack(values, 4), 4, 0, before=chunks, after=chunk(b"eXIf", exif(6))))[..., 0]
    assert (got[:, -4:] == 255).all()
    assert (got[:, :-4] == 0).all()
