from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from visionlib.data.augmentation import augment_trivially
from visionlib.data.augmentation.policy import OPERATIONS
from visionlib.data.random import Stream, random_integers, random_uniform


def make_images(n: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def mark_images(images: Tensor, amounts: Tensor, value: int) -> Tensor:
    return torch.full_like(images, value)


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 9, 14), (3, 2, 2), (1, 2, 3), (3, 1, 1)])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_the_policy_equals_a_loop(strength: float, shape: tuple[int, int, int]) -> None:
    images, index = make_images(150, *shape), torch.arange(150) * 5
    changed = augment_trivially(images, index, seed=1, epoch=2, strength=strength)
    chosen = random_integers(1, 2, index, Stream.POLICY_OPERATION, 14).tolist()
    amounts = strength * (2 * random_uniform(1, 2, index, Stream.POLICY_AMOUNT) - 1)
    assert set(chosen) == set(range(14))
    for k, which in enumerate(chosen):
        operation = list(OPERATIONS.values())[which]
        assert torch.equal(changed[k], operation(images[k : k + 1], amounts[k : k + 1])[0])


def test_operations_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {name: partial(mark_images, value=number) for number, name in enumerate(OPERATIONS)}
    monkeypatch.setattr("visionlib.data.augmentation.policy.OPERATIONS", marks)
    marked = augment_trivially(torch.zeros(14_000, 1, 1, 1, dtype=torch.uint8), torch.arange(14_000), seed=0, epoch=0)
    counts = torch.bincount(marked.flatten(), minlength=14)
    assert len(counts) == 14
    # Chi-squared with 13 degrees of freedom: 34.5 is passed by 999 of 1,000.
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 34.5


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 9), (1, 2, 2)])
def test_an_amount_of_zero_changes_nothing_and_more_changes_more(name: str, shape: tuple[int, int, int]) -> None:
    images = make_images(20, *shape)
    has_no_amount = name in {"identity", "autocontrast", "equalize"}

    def change(amount: float) -> float:
        changed = OPERATIONS[name](images, torch.full((20,), amount))
        assert changed.shape == images.shape
        assert changed.dtype == torch.uint8
        return (changed.float() - images.float()).abs().mean().item()

    if not has_no_amount:
        assert change(0.0) == 0
        is_flat = name == "saturation" and shape[0] == 1
        is_small = name == "sharpness" and min(shape[1:]) < 3
        assert change(0.2) <= change(1.0)
        assert (change(1.0) > 0) == (change(-1.0) > 0) == (not is_flat and not is_small)


def enhanced(images: Tensor, enhancer: Callable[[Image.Image], ImageEnhance._Enhance], factor: float) -> Tensor:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    changed = [np.asarray(enhancer(picture).enhance(factor)).copy() for picture in pictures]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
@pytest.mark.parametrize("amount", [-1.0, -0.5, 0.1, 1.0])
def test_enhancements_are_pillows_to_rounding(
    name: str, enhancer: Callable[[Image.Image], ImageEnhance._Enhance], amount: float
) -> None:
    images = make_images(10, 3, 16, 16)
    ours = OPERATIONS[name](images, torch.full((10,), amount))
    # Pillow rounds the gray values too, and what it multiplies them by is up to one.
    assert (ours.int() - enhanced(images, enhancer, 1 + 0.99 * amount).int()).abs().max() <= 2


def test_geometry_by_hand() -> None:
    images = make_images(3, 3, 6, 6)
    turned = OPERATIONS["rotate"](images, torch.full((3,), 90 / 135))
    assert torch.equal(turned, images.rot90(-1, (2, 3)))
    right = OPERATIONS["translate along rows"](images, torch.full((3,), 0.5))
    assert torch.equal(right[..., 3:], images[..., :3])
    assert not right[..., :3].any()
    up = OPERATIONS["translate along columns"](images, torch.full((3,), -1 / 3))
    assert torch.equal(up[:, :, :4], images[:, :, 2:])
    assert not up[:, :, 4:].any()
    assert not OPERATIONS["translate along rows"](images, torch.full((3,), 1.0)).any()


@pytest.mark.parametrize(("height", "width"), [(5, 5), (5, 9), (3, 8)])
def test_shears_by_whole_pixels_shift_rows_and_columns(height: int, width: int) -> None:
    images = make_images(3, 3, height, width)
    one = torch.full((3,), 1 / 0.99)  # a pixel for each pixel of distance from the middle row
    sheared = OPERATIONS["shear along rows"](images, one)
    upright = OPERATIONS["shear along columns"](images.transpose(2, 3), one).transpose(2, 3)
    expected = torch.zeros_like(images)
    for row in range(height):
        shift = row - height // 2
        for column in range(width):
            if 0 <= column - shift < width:
                expected[:, :, row, column] = images[:, :, row, column - shift]
    # Positions are off by a few millionths of a pixel.
    assert (sheared.int() - expected.int()).abs().max() <= 1
    assert (upright.int() - expected.int()).abs().max() <= 1


def test_the_strongest_amounts() -> None:
    images = make_images(4, 1, 8, 8)
    for amount in (-1.0, 1.0):
        amounts = torch.full((4,), amount)
        assert torch.equal(OPERATIONS["posterize"](images, amounts), images // 64 * 64)
        assert torch.equal(OPERATIONS["solarize"](images, amounts), 255 - images)


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_impossible_strengths_are_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=f"got {strength}"):
        augment_trivially(make_images(2, 3, 4, 4), torch.arange(2), seed=0, epoch=0, strength=strength)
