import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from visionlib.data.decode import Picture, decode_pictures
from visionlib.errors import DataError


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Picture(f"picture.{kind.lower()}", buffer.getvalue())


def decode(*pictures: Picture, image_size: int | None = None) -> tuple[torch.Tensor, list[str]]:
    images, _, messages = decode_pictures(
        pictures, image_size=image_size, description="decoding", describe=lambda: "here"
    )
    return images, messages


def slope(width: int, height: int) -> Image.Image:
    """Red grows to the right and green downwards, so that every position is identifiable."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 255 // width, rows * 255 // height, np.zeros_like(rows)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def test_pictures_of_one_small_size_are_taken_as_they_are() -> None:
    image = slope(20, 30)
    images, warnings = decode(encode(image), encode(image, "BMP"))
    assert images.shape == (2, 3, 30, 20)
    assert torch.equal(images[0], images[1])
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), np.asarray(image))
    assert warnings == []


def test_pictures_of_different_sizes_are_cut_square_and_resized_and_it_is_said() -> None:
    images, warnings = decode(encode(slope(200, 100)), encode(slope(64, 64)))
    assert images.shape == (2, 3, 32, 32)
    assert "64 x 64 to 200 x 100 pixels were cut to their largest centred square and resized to 32 x 32" in warnings[0]
    # The middle half of the wide one: red from a quarter to three quarters, green from end to end.
    red, green = images[0, 0].float(), images[0, 1].float()
    assert red[:, 0].mean() == pytest.approx(255 / 4, abs=4)
    assert red[:, -1].mean() == pytest.approx(255 * 3 / 4, abs=4)
    assert green[0].mean() < 10
    assert green[-1].mean() > 240


def test_large_pictures_of_one_size_are_resized_and_a_size_that_is_asked_for_is_kept_quiet() -> None:
    images, warnings = decode(encode(slope(129, 129)))
    assert images.shape[2:] == (32, 32)
    assert len(warnings) == 1
    same, quiet = decode(encode(slope(48, 48)), image_size=48)
    assert same.shape[2:] == (48, 48)
    assert quiet == []


def test_a_huge_jpeg_at_reduced_scale_is_nearly_the_full_decoding() -> None:
    pictures = [encode(slope(640, 640), kind) for kind in ("JPEG", "PNG")]
    images, _ = decode(*pictures, image_size=32)
    assert (images[0].float() - images[1].float()).abs().mean() < 2


def test_grayscale_only_if_every_picture_is() -> None:
    gray, colour = encode(slope(8, 8).convert("L")), encode(slope(8, 8))
    assert decode(gray, gray)[0].shape == (2, 1, 8, 8)
    mixed, _ = decode(gray, colour)
    assert mixed.shape == (2, 3, 8, 8)
    assert torch.equal(mixed[0, 0], mixed[0, 1])


def test_modes_of_every_kind_become_pixels() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    deep = Image.fromarray(np.full((4, 4), 0x8012, dtype=np.uint16))
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    white, coloured = (decode(encode(image))[0][0, :, 0, 0].tolist() for image in (clear, palette))
    assert white == [255, 255, 255]
    assert coloured == [10, 20, 30]
    assert decode(encode(deep))[0][0, :, 0, 0].tolist() == [0x80]
    red = decode(encode(ink, "JPEG", quality=100))[0][0, :, 0, 0].tolist()
    assert red == pytest.approx([255, 0, 0], abs=6)


def test_the_camera_held_upright_is_obeyed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    images, _ = decode(encode(slope(40, 20), "JPEG", exif=exif, quality=95))
    assert images.shape[2:] == (40, 20)
    # What was the left edge, where red is low, is now the top.
    assert images[0, 0, 0].float().mean() < images[0, 0, -1].float().mean()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_picture_that_ends_too_soon_is_named(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = encode(noise, kind)
    assert isinstance(whole.content, bytes)
    half = Picture("set/train/cat/7.png", whole.content[: len(whole.content) // 2])
    with pytest.raises(DataError, match=r"set/train/cat/7\.png: is no whole PNG, JPEG, WebP or BMP picture"):
        decode(half)


def test_other_formats_are_refused_though_pillow_knows_them() -> None:
    with pytest.raises(DataError, match="is no whole PNG, JPEG, WebP or BMP picture"):
        decode(encode(slope(8, 8), "GIF"))


def test_a_picture_that_claims_to_be_a_giant_is_refused_before_it_is_decoded() -> None:
    header = bytearray(encode(Image.new("1", (8, 8)), "BMP").content)  # type: ignore[arg-type]
    header[18:26] = (9000).to_bytes(4, "little") * 2
    with pytest.raises(DataError, match="has 9000 x 9000 pixels, above the limit of 67,108,864"):
        decode(Picture("giant.bmp", bytes(header)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_pictures_with_damage_anywhere_either_decode_or_are_refused(kind: str) -> None:
    original = encode(slope(24, 24), kind).content
    assert isinstance(original, bytes)
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(original)
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(len(content) if dice.random() < 0.5 else 60)] = dice.randrange(256)
        try:
            decode(Picture("mutant", bytes(content)), image_size=8)
        except DataError:
            refused += 1
    assert refused > 30


def test_a_file_is_read_like_its_bytes(tmp_path: Path) -> None:
    picture = encode(slope(8, 8))
    assert isinstance(picture.content, bytes)
    (tmp_path / "a.png").write_bytes(picture.content)
    assert torch.equal(decode(Picture("a", tmp_path / "a.png"))[0], decode(picture)[0])
