import math

import pytest
import torch

from visionlib.data.augmentation import cut_out_images, erase_images
from visionlib.data.random import Stream, random_integers, random_uniform


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


def erased(n: int, height: int, width: int, fraction: float, largest_area: float) -> torch.Tensor:
    """Mark the hidden pixels of black images."""
    images = torch.zeros(n, 1, height, width, dtype=torch.uint8)
    changed = erase_images(images, torch.arange(n), seed=4, epoch=2, fraction=fraction, largest_area=largest_area)
    assert bool(((changed == 0) | (changed == 128)).all())
    return changed[:, 0] == 128


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 9, 14), (1, 16, 16), (3, 2, 2), (1, 2, 7), (3, 1, 1)])
@pytest.mark.parametrize(("fraction", "largest"), [(0.5, 0.4), (1.0, 1.0), (1.0, 0.01), (0.3, 0.0)])
def test_erasing_equals_a_loop(channels: int, height: int, width: int, fraction: float, largest: float) -> None:
    images = torch.randint(0, 256, (80, channels, height, width), dtype=torch.uint8)
    index = torch.arange(80) * 3
    changed = erase_images(images, index, seed=2, epoch=1, fraction=fraction, largest_area=largest)
    draws = {
        name: random_uniform(2, 1, index, Stream[f"ERASING_{name}"]).tolist()
        for name in ("CHOICE", "AREA", "ASPECT", "ROW", "COLUMN")
    }
    for k, result in enumerate(changed):
        expected = images[k].clone()
        smallest = min(0.02, largest)
        area = (smallest + (largest - smallest) * draws["AREA"][k]) * height * width
        aspect = 0.3 ** (1 - 2 * draws["ASPECT"][k])
        high, wide = min(height, round((area * aspect) ** 0.5)), min(width, round((area / aspect) ** 0.5))
        if draws["CHOICE"][k] < fraction:
            top, left = int(draws["ROW"][k] * (height - high + 1)), int(draws["COLUMN"][k] * (width - wide + 1))
            expected[:, top : top + high, left : left + wide] = 128
        assert torch.equal(result, expected)


def test_erased_rectangles_have_the_drawn_areas_aspects_and_places() -> None:
    """With areas up to 0.2 the longest side is 0.82 of the image's, so that none is shortened."""
    hidden = erased(5_000, 64, 64, fraction=0.4, largest_area=0.2)
    heights, widths = hidden.any(2).sum(1).double(), hidden.any(1).sum(1).double()
    assert torch.equal(heights * widths, hidden.sum((1, 2)).double())  # rectangles, whole
    is_erased = heights > 0
    n = int(is_erased.sum())
    assert n / 5_000 == pytest.approx(0.4, abs=4 * (0.24 / 5_000) ** 0.5)
    areas = (heights * widths)[is_erased] / 64**2
    assert areas.mean().item() == pytest.approx(0.11, abs=4 * 0.18 / (12 * n) ** 0.5 + 0.001)
    assert areas.var().item() == pytest.approx(0.18**2 / 12, rel=0.1)
    aspects = (heights / widths)[is_erased].log()
    widest = math.log(1 / 0.3)
    assert aspects.mean().item() == pytest.approx(0, abs=4 * widest / (3 * n) ** 0.5)
    assert aspects.var().item() == pytest.approx(widest**2 / 3, rel=0.1)
    # Left and right, above and below are the same; the middle is hidden more often than a corner.
    often = hidden.double().mean(0)
    assert (often - often.flip(0)).abs().max() < 0.04
    assert (often - often.flip(1)).abs().max() < 0.04
    assert often[31, 31] > 4 * often[0, 0]


def test_no_rectangles_give_the_images_themselves() -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    assert erase_images(images, torch.arange(2), seed=0, epoch=0, fraction=0) is images


@pytest.mark.parametrize(("fraction", "area"), [(-0.1, 0.4), (1.1, 0.4), (0.5, -0.1), (0.5, 1.1)])
def test_impossible_rectangles_are_refused(fraction: float, area: float) -> None:
    with pytest.raises(ValueError, match=f"got {fraction} and {area}"):
        erased(2, 4, 5, fraction, area)
