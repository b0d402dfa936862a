import colorsys
from itertools import starmap

import numpy as np
import pytest
import torch
from torch import Tensor

from visionlib.data.augmentation import jitter_colours
from visionlib.data.augmentation.colour import change_colours, shift_hue
from visionlib.data.random import Stream, random_uniform


def make_images(n: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)
    images[0] = images[0, :1]  # a grayscale picture among them: no hue
    images[1, :, 0] = 0
    images[1, :, 1] = 255
    return images


def gray_of(image: np.ndarray) -> np.ndarray:
    if len(image) == 1:
        return np.asarray(image[0])
    return np.asarray(0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2])


def change_in_a_loop(
    image: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float
) -> np.ndarray:
    """Do what the docstring says, image by image and for the hue pixel by pixel, with Python's own HSV."""
    values = np.clip(image / 255 * brightness, 0, 1)
    mean = gray_of(values).mean()
    values = np.clip(mean + (values - mean) * contrast, 0, 1)
    if len(image) == 3:
        gray = gray_of(values)
        values = np.clip(gray + (values - gray) * saturation, 0, 1)
        pixels = starmap(colorsys.rgb_to_hsv, values.reshape(3, -1).T)
        turned = [colorsys.hsv_to_rgb((h + hue) % 1, s, v) for h, s, v in pixels]
        values = np.array(turned).T.reshape(image.shape)
    return np.asarray(values * 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_a_loop(channels: int) -> None:
    images, index = make_images(30, channels, 6, 7), torch.arange(30) * 11
    amounts = {Stream.BRIGHTNESS: 0.4, Stream.CONTRAST: 0.5, Stream.SATURATION: 0.6, Stream.HUE: 0.3}
    changed = jitter_colours(images, index, seed=1, epoch=2, brightness=0.4, contrast=0.5, saturation=0.6, hue=0.3)
    drawn = {
        stream: [amount * (2 * value - 1) for value in random_uniform(1, 2, index, stream).tolist()]
        for stream, amount in amounts.items()
    }
    for k, image in enumerate(images.numpy()):
        brightness, contrast, saturation, hue = (drawn[stream][k] for stream in amounts)
        expected = change_in_a_loop(image, 1 + brightness, 1 + contrast, 1 + saturation, hue)
        # Half a value for the rounding, and what float32 adds to it.
        assert np.abs(changed[k].numpy() - expected).max() < 0.51


def numbers(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None, None]


def test_each_change_by_hand() -> None:
    images = torch.tensor([100, 50, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    one, none = numbers(1.0), numbers(0.0)
    assert change_colours(images, one, one, one, none).flatten().tolist() == [100, 50, 0]
    assert change_colours(images, numbers(1.1), one, one, none).flatten().tolist() == [110, 55, 0]
    # The gray of the only pixel, 0.299 * 100 + 0.587 * 50 = 59.25, is also the mean.
    assert change_colours(images, one, none, one, none).flatten().tolist() == [59, 59, 59]
    assert change_colours(images, one, one, none, none).flatten().tolist() == [59, 59, 59]
    assert change_colours(images, one, one, one, numbers(1 / 3)).flatten().tolist() == [0, 100, 50]


def test_hue_goes_around_the_circle_and_comes_back() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    colours = [shift_hue(red, numbers(k / 6)).round().flatten().int().tolist() for k in range(7)]
    assert colours == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]]


def test_grayscale_pictures_ignore_saturation_and_hue() -> None:
    gray = make_images(20, 1, 6, 7)
    as_colour = gray.expand(-1, 3, -1, -1)
    for images in (gray, as_colour):
        changed = jitter_colours(
            images, torch.arange(20), seed=1, epoch=2, brightness=0, contrast=0, saturation=0.9, hue=0.5
        )
        assert torch.equal(changed, images)


def test_no_amounts_leave_the_images_as_they_are() -> None:
    images = make_images(20, 3, 6, 7)
    still = jitter_colours(images, torch.arange(20), seed=1, epoch=2, brightness=0, contrast=0, saturation=0, hue=0)
    assert torch.equal(still, images)


@pytest.mark.parametrize(
    ("brightness", "saturation", "hue", "message"),
    [(-0.1, 0.1, 0.1, "'brightness': -0.1"), (0.1, -1.0, 0.1, "'saturation': -1.0"), (0.1, 0.1, 0.6, "'hue': 0.6")],
)
def test_impossible_amounts_are_refused(brightness: float, saturation: float, hue: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jitter_colours(
            make_images(2, 3, 4, 4),
            torch.arange(2),
            seed=0,
            epoch=0,
            brightness=brightness,
            saturation=saturation,
            hue=hue,
        )
