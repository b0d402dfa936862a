import numpy as np
import pytest
import torch

from visionlib.data.augmentation import crop_images, shift_images
from visionlib.data.random import Stream, random_integers


def test_shift_by_hand() -> None:
    image = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=torch.uint8)[None, None]
    expected = torch.tensor([[5, 4, 5], [8, 7, 8], [5, 4, 5]], dtype=torch.uint8)
    assert torch.equal(shift_images(image, torch.tensor([[1, -1]]), 1)[0, 0], expected)


@pytest.mark.parametrize(("channels", "height", "width", "shift"), [(3, 9, 7, 4), (1, 6, 11, 5), (3, 2, 5, 1)])
def test_crop_equals_numpy_one_by_one(channels: int, height: int, width: int, shift: int) -> None:
    images = torch.randint(
        0, 256, (200, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    index = torch.arange(200) * 7
    cropped = crop_images(images, index, seed=5, epoch=3, max_shift_px=shift)
    tops = random_integers(5, 3, index, Stream.CROP_ROWS, 2 * shift + 1).tolist()
    lefts = random_integers(5, 3, index, Stream.CROP_COLUMNS, 2 * shift + 1).tolist()
    for image, top, left, result in zip(images.numpy(), tops, lefts, cropped.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), mode="reflect")
        assert np.array_equal(result, padded[:, top : top + height, left : left + width])


def test_every_offset_occurs_about_equally_often() -> None:
    # One bright pixel in the middle tells the offset of its image.
    images = torch.zeros(25_000, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 1
    places = crop_images(images, torch.arange(25_000), seed=1, epoch=0, max_shift_px=2).sum((0, 1))
    inner = places[2:7, 2:7]
    assert int(inner.sum()) == int(places.sum()) == 25_000
    # Chi-squared with 24 degrees of freedom: 51.2 is passed by 999 of 1,000.
    assert float(((inner - 1000) ** 2 / 1000).sum()) < 51.2


def test_no_shift_gives_the_images_themselves() -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    assert crop_images(images, torch.arange(2), seed=0, epoch=0, max_shift_px=0) is images


@pytest.mark.parametrize("shift", [4, 9, -1])
def test_a_shift_that_reflection_cannot_fill_is_refused(shift: int) -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"below 4, and it is {shift}"):
        crop_images(images, torch.arange(2), seed=0, epoch=0, max_shift_px=shift)
