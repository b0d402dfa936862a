import pytest
import torch

from visionlib.data.augmentation import cut_out_images
from visionlib.data.random import Stream, random_integers


@pytest.mark.parametrize(("channels", "size", "fill"), [(3, 3, 128), (1, 4, 0), (3, 1, 255), (3, 30, 7)])
def test_cutout_equals_a_loop(channels: int, size: int, fill: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, channels, 8, 11), dtype=torch.uint8, generator=generator)
    index = torch.arange(120) * 3
    covered = cut_out_images(images, index, seed=2, epoch=1, size_px=size, fill=fill)
    rows = random_integers(2, 1, index, Stream.CUTOUT_ROW, 8).tolist()
    columns = random_integers(2, 1, index, Stream.CUTOUT_COLUMN, 11).tolist()
    for image, row, column, result in zip(images, rows, columns, covered, strict=True):
        expected = image.clone()
        top, left = row - size // 2, column - size // 2
        for y in range(max(0, top), min(8, top + size)):
            for x in range(max(0, left), min(11, left + size)):
                expected[:, y, x] = fill
        assert torch.equal(result, expected)


def test_every_pixel_is_a_centre_about_equally_often() -> None:
    images = torch.zeros(20_000, 1, 4, 5, dtype=torch.uint8)
    counts = cut_out_images(images, torch.arange(20_000), seed=0, epoch=0, size_px=1, fill=1).sum((0, 1))
    assert int(counts.sum()) == 20_000
    # Chi-squared with 19 degrees of freedom: 43.8 is passed by 999 of 1,000.
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 43.8


def test_no_square_gives_the_images_themselves() -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    assert cut_out_images(images, torch.arange(2), seed=0, epoch=0, size_px=0) is images


@pytest.mark.parametrize(("size", "fill"), [(-1, 128), (3, 256), (3, -1)])
def test_impossible_squares_are_refused(size: int, fill: int) -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"got {size} and {fill}"):
        cut_out_images(images, torch.arange(2), seed=0, epoch=0, size_px=size, fill=fill)
