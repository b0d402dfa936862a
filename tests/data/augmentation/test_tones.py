"""The operations equal Pillow's, which work on one picture at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from visionlib.data.augmentation.tones import (
    equalize_images,
    posterize_images,
    sharpen_images,
    solarize_images,
    stretch_contrast,
)


@pytest.fixture(params=[(3, 32, 32), (1, 28, 28), (3, 9, 40), (1, 2, 2), (3, 2, 7), (3, 3, 3), (1, 1, 1)], ids=str)
def images(request: pytest.FixtureRequest) -> Tensor:
    """Noise, flat pictures, two values, gradients and values of a narrow range."""
    channels, height, width = request.param
    noise = torch.randint(0, 256, (12, channels, height, width), dtype=torch.uint8)
    noise[0] = 0
    noise[1] = 255
    noise[2] = 77
    noise[3] = noise[3] // 128 * 10 + 100
    noise[4] = torch.arange(width, dtype=torch.uint8)
    noise[5:8] = noise[5:8] // 20 + 90
    noise[8, :, 0] = 3  # many pixels of one value
    noise[9, 0] = 4  # one flat channel
    return noise


def by_pillow(images: Tensor, change: Callable[[Image.Image, int], Image.Image]) -> Tensor:
    """Change each image, given with its position, as a picture."""
    results = []
    for k, image in enumerate(images):
        pixels = image.permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels[:, :, 0] if len(image) == 1 else pixels)
        changed = np.asarray(change(picture, k))
        results.append(torch.from_numpy(changed.copy()).reshape(*image.shape[1:], len(image)).permute(2, 0, 1))
    return torch.stack(results)


def differences(ours: Tensor, theirs: Tensor) -> int:
    assert ours.dtype == theirs.dtype == torch.uint8
    assert ours.shape == theirs.shape
    return int((ours.int() - theirs.int()).abs().max())


def test_posterize_is_pillows(images: Tensor) -> None:
    bits = torch.arange(12) % 8 + 1
    assert torch.equal(
        posterize_images(images, bits), by_pillow(images, lambda picture, k: ImageOps.posterize(picture, int(bits[k])))
    )


def test_solarize_is_pillows(images: Tensor) -> None:
    thresholds = torch.tensor([0, 1, 255, 256, 77, 78, 100, 110, 128, 200, 4, 5])
    assert torch.equal(
        solarize_images(images, thresholds),
        by_pillow(images, lambda picture, k: ImageOps.solarize(picture, int(thresholds[k]))),
    )


def test_stretched_contrast_is_pillows_autocontrast_to_rounding(images: Tensor) -> None:
    assert (
        differences(stretch_contrast(images), by_pillow(images, lambda picture, k: ImageOps.autocontrast(picture))) <= 1
    )


def test_equalize_is_pillows(images: Tensor) -> None:
    assert torch.equal(equalize_images(images), by_pillow(images, lambda picture, k: ImageOps.equalize(picture)))


def test_sharpen_is_pillows_to_rounding(images: Tensor) -> None:
    factors = torch.linspace(0, 2, 12)
    theirs = by_pillow(images, lambda picture, k: ImageEnhance.Sharpness(picture).enhance(float(factors[k])))
    # Pillow rounds the smoothed picture as well; here a value off by one there is multiplied by up to one.
    assert differences(sharpen_images(images, factors), theirs) <= 1


def test_by_hand() -> None:
    def row(*values: int) -> Tensor:
        return torch.tensor(values, dtype=torch.uint8).view(1, 1, 1, -1)

    values = row(0, 100, 255)
    assert posterize_images(values, torch.tensor([2])).flatten().tolist() == [0, 64, 192]
    assert solarize_images(values, torch.tensor([100])).flatten().tolist() == [0, 155, 0]
    assert stretch_contrast(row(10, 20, 15, 14)).flatten().tolist() == [0, 255, 128, 102]
    # Of 1,020 values 510 lie below the brightest: the step is 2, and 0, 255 and 510 of them are lower.
    many = row(*[5] * 255, *[6] * 255, *[7] * 510)
    assert sorted(set(equalize_images(many).flatten().tolist())) == [0, 128, 255]
    spot = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    spot[0, 0, 1, 1] = 130
    assert [int(sharpen_images(spot, torch.tensor([f]))[0, 0, 1, 1]) for f in (0.0, 1.0, 1.5, 5.0)] == [
        50,
        130,
        170,
        255,
    ]
    assert int(sharpen_images(spot, torch.tensor([0.0])).sum()) == 50  # the border stays


def test_every_image_has_its_own_amount() -> None:
    images = torch.full((3, 1, 3, 3), 200, dtype=torch.uint8)
    assert posterize_images(images, torch.tensor([1, 8, 2]))[:, 0, 0, 0].tolist() == [128, 200, 192]
    assert solarize_images(images, torch.tensor([0, 256, 201]))[:, 0, 0, 0].tolist() == [55, 200, 200]
