import math

import numpy as np
import pytest
import torch
from torch import Tensor

from visionlib.data.augmentation import transform_images
from visionlib.data.augmentation.affine import inverse_matrices, resample_images
from visionlib.data.random import Stream, random_uniform


def make_images(n: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def move(images: Tensor, degrees: float = 0, scale: float = 1, right_px: float = 0, down_px: float = 0) -> Tensor:
    angles, scales, rights, downs = (
        torch.full((len(images),), float(amount)) for amount in (math.radians(degrees), scale, right_px, down_px)
    )
    height, width = images.shape[2:]
    return resample_images(images, inverse_matrices(angles, scales, rights, downs, height, width))


def test_nothing_moved_is_nothing_changed() -> None:
    images = make_images(3, 3, 6, 9)
    assert torch.equal(move(images), images)


def test_a_quarter_turn_is_clockwise() -> None:
    images = make_images(3, 3, 8, 8)
    assert torch.equal(move(images, degrees=90), images.rot90(-1, (2, 3)))


def test_whole_shifts_go_right_and_down_and_leave_black() -> None:
    images = make_images(3, 3, 6, 9)
    expected = torch.zeros_like(images)
    expected[:, :, 1:, 2:] = images[:, :, :-1, :-2]
    assert torch.equal(move(images, right_px=2, down_px=1), expected)


def test_scale_above_one_enlarges() -> None:
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    images[:, :, 3:5, 3:5] = 200
    larger, smaller = move(images, scale=2), move(images, scale=0.5)
    assert int((larger >= 100).sum()) == 16
    # Halved, the bright square is read one pixel from the centre, where half of it is left along each axis.
    assert torch.equal(smaller, images // 4)


def sample_in_a_loop(image: np.ndarray, angle: float, scale: float, right_px: float, down_px: float) -> np.ndarray:
    """Fetch each pixel of the result from the image, bilinearly, black outside."""
    channels, height, width = image.shape
    result = np.zeros((channels, height, width))
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 - width / 2 - right_px, row + 0.5 - height / 2 - down_px
            from_x = (math.cos(angle) * x + math.sin(angle) * y) / scale + width / 2 - 0.5
            from_y = (math.cos(angle) * y - math.sin(angle) * x) / scale + height / 2 - 0.5
            left, top = math.floor(from_x), math.floor(from_y)
            for near_y, weight_y in ((top, 1 - (from_y - top)), (top + 1, from_y - top)):
                for near_x, weight_x in ((left, 1 - (from_x - left)), (left + 1, from_x - left)):
                    if 0 <= near_y < height and 0 <= near_x < width:
                        result[:, row, column] += weight_y * weight_x * image[:, near_y, near_x]
    return result


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 8, 8), (1, 7, 12)])
def test_transform_equals_a_loop(channels: int, height: int, width: int) -> None:
    images, index = make_images(25, channels, height, width), torch.arange(25) * 5
    moved = transform_images(
        images, index, seed=1, epoch=2, rotate_degrees=40, translate_fraction=0.2, scale_range=(0.7, 1.4)
    )

    def draw(low: float, high: float, stream: Stream) -> list[float]:
        return [low + (high - low) * value for value in random_uniform(1, 2, index, stream).tolist()]

    degrees, scales = draw(-40, 40, Stream.ROTATION), draw(0.7, 1.4, Stream.SCALE)
    rights, downs = draw(-0.2, 0.2, Stream.TRANSLATION_COLUMNS), draw(-0.2, 0.2, Stream.TRANSLATION_ROWS)
    for k, image in enumerate(images.numpy()):
        expected = sample_in_a_loop(image, math.radians(degrees[k]), scales[k], width * rights[k], height * downs[k])
        # Half a value for the rounding, and what float32 adds to it.
        assert np.abs(moved[k].numpy() - expected).max() < 0.51


def test_no_amounts_leave_the_images_as_they_are() -> None:
    images = make_images(9, 3, 6, 9)
    still = transform_images(
        images, torch.arange(9), seed=0, epoch=0, rotate_degrees=0, translate_fraction=0, scale_range=(1, 1)
    )
    assert torch.equal(still, images)


@pytest.mark.parametrize(
    ("degrees", "fraction", "scales"),
    [(-1, 0.1, (0.9, 1.1)), (1, -0.1, (0.9, 1.1)), (1, 0.1, (1.1, 0.9)), (1, 0.1, (0.0, 1.0))],
)
def test_impossible_amounts_are_refused(degrees: float, fraction: float, scales: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=f"got {degrees}"):
        transform_images(
            make_images(2, 3, 4, 4),
            torch.arange(2),
            seed=0,
            epoch=0,
            rotate_degrees=degrees,
            translate_fraction=fraction,
            scale_range=scales,
        )
