"""Each corruption equals a slow reference, is independent of the batch, and grows with its strength."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.data.corruption.references import REFERENCES
from visionlib.data.corruption import CORRUPTIONS, KINDS, STRENGTHS, corrupt_images, find_corruptions
from visionlib.data.shapes import draw_shapes
from visionlib.errors import ConfigError


def make_images(*shape: int) -> Tensor:
    """Noise over a slope, with black and white among the values."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randint(0, 120, shape, dtype=torch.uint8, generator=generator)
    images = noise + torch.linspace(0, 135, shape[3]).to(torch.uint8)
    images[:, :, 0, :2], images[:, :, -1, -2:] = 0, 255
    return images


def test_every_corruption_has_a_reference_and_five_strengths() -> None:
    assert set(REFERENCES) == set(CORRUPTIONS)
    assert [entry.is_standard for entry in CORRUPTIONS.values()] == [True] * 15 + [False] * 4
    assert all(len(entry.strengths) == len(STRENGTHS) for entry in CORRUPTIONS.values())
    assert [entry.kind for entry in CORRUPTIONS.values()] == sorted(
        (entry.kind for entry in CORRUPTIONS.values()), key=KINDS.index
    )


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(3, 3, 10, 10), (2, 1, 9, 14), (1, 3, 40, 33)])
def test_pixels_equal_the_slow_reference(name: str, shape: tuple[int, ...]) -> None:
    images, index = make_images(*shape), torch.tensor([5, 700, 3])[: shape[0]]
    for strength in STRENGTHS if shape[2] < 20 else (3,):
        parameters = CORRUPTIONS[name].strengths[strength - 1]
        fast = corrupt_images(images, index, name, strength, seed=4).numpy()
        for image, number, corrupted in zip(images.numpy(), index.tolist(), fast, strict=True):
            slow = REFERENCES[name](image, number, 4, *parameters)
            # Pillow resizes in float32, which may round the other way.
            most = 1 if name == "resolution" else 0
            difference = np.abs(corrupted.astype(int) - slow)
            assert difference.max() <= most, (strength, number)
            assert (difference > 0).mean() < 0.02


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_does_not_depend_on_those_beside_it(name: str) -> None:
    images, index = make_images(11, 3, 16, 16), torch.arange(11) * 13
    order = torch.tensor([4, 1, 0, 3, 2, 9, 10, 7, 8, 5, 6])
    for strength in (1, 5):
        together = corrupt_images(images, index, name, strength)
        assert torch.equal(corrupt_images(images[order], index[order], name, strength), together[order])
        singles = [corrupt_images(images[at : at + 1], index[at : at + 1], name, strength) for at in range(11)]
        assert torch.equal(torch.cat(singles), together)
        strided = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        assert torch.equal(corrupt_images(strided, index, name, strength), together)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 3, 2), (1, 3, 70, 5)])
def test_any_size_works(name: str, shape: tuple[int, ...]) -> None:
    images = make_images(*shape)
    before = images.clone()
    for strength in STRENGTHS:
        corrupted = corrupt_images(images, torch.arange(len(images)), name, strength)
        assert corrupted.shape == images.shape
        assert corrupted.dtype == torch.uint8
    assert torch.equal(images, before)
    assert corrupt_images(images[:0], torch.arange(0), name, 3).shape == (0, *shape[1:])


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "elastic_transform"])
def test_the_strongest_changes_more_than_the_weakest_and_strength_0_nothing(name: str) -> None:
    split = draw_shapes(60)

    def change(strength: int) -> float:
        corrupted = corrupt_images(split.images, split.index, name, strength)
        return float((corrupted.double() - split.images).abs().mean())

    assert corrupt_images(split.images, split.index, name, 0) is split.images
    assert change(5) > 1.15 * change(1) > 0


def test_elastic_deformation_moves_first_and_tears_later() -> None:
    """At strength 1 it is affine and moves most; a slope then stays a slope. The bends grow from there on."""
    slope = (4 * torch.arange(32, dtype=torch.uint8)).expand(40, 1, 32, 32)

    def bend(strength: int) -> float:
        moved = corrupt_images(slope, torch.arange(40), "elastic_transform", strength)[:, 0, 8:-8, 8:-8].double()
        return float((moved[:, :, 2:] - 2 * moved[:, :, 1:-1] + moved[:, :, :-2]).abs().mean())

    bends = [bend(strength) for strength in STRENGTHS]
    assert bends[0] < 1  # rounding to levels
    assert bends[3] > 1.3 * bends[0]
    assert bends[4] > 1.5 * bends[3]


@pytest.mark.parametrize("name", [name for name, entry in CORRUPTIONS.items() if entry.kind == "noise"])
def test_noise_depends_on_seed_and_image(name: str) -> None:
    images = make_images(1, 1, 8, 8).expand(2, -1, -1, -1)
    first, second = corrupt_images(images, torch.tensor([0, 1]), name, 5)
    other = corrupt_images(images, torch.tensor([0, 1]), name, 5, seed=1)[0]
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


def test_noise_has_the_moments_of_its_distribution() -> None:
    grey = torch.full((40, 1, 32, 32), 102, dtype=torch.uint8)
    index, n = torch.arange(40), 40 * 1024
    normal = corrupt_images(grey, index, "gaussian_noise", 3).double() / 255
    # Rounding to a level adds a variance of 1/12; the estimate of a std has one of std / sqrt(2 n).
    expected = math.sqrt(0.08**2 + 1 / 12 / 255**2)
    assert float(normal.mean()) == pytest.approx(0.4, abs=4 * 0.08 / math.sqrt(n))
    assert float(normal.std()) == pytest.approx(expected, abs=4 * expected / math.sqrt(2 * n))
    photons = corrupt_images(grey, index, "shot_noise", 5).double() / 255 * 50
    assert float(photons.mean()) == pytest.approx(20, abs=4 * math.sqrt(20 / n))
    assert float(photons.var()) == pytest.approx(20, abs=4 * 20 * math.sqrt(2 / n) + 0.01)
    impulses = corrupt_images(grey, index, "impulse_noise", 5)
    for value in (0, 255):
        assert float((impulses == value).double().mean()) == pytest.approx(0.035, abs=4 * math.sqrt(0.035 / n))


def test_numbers_solved_by_hand() -> None:
    index = torch.zeros(1, dtype=torch.int64)

    def corrupt(name: str, strength: int, values: list[list[int]]) -> list[list[int]]:
        image = torch.tensor(values, dtype=torch.uint8)[None, None]
        pixels: list[list[int]] = corrupt_images(image, index, name, strength)[0, 0].tolist()
        return pixels

    # Mean 100, of which the differences halve.
    assert corrupt("contrast", 2, [[0, 200]]) == [[50, 150]]
    # 0.1 of 255 is 25.5; halves go up; white stays.
    assert corrupt("brightness", 2, [[0, 100, 255]]) == [[26, 126, 255]]
    # Three pixels for four: 10, the mean of 20 and 40, and 60. Of the four again, both inner ones lie in the second.
    assert corrupt("pixelate", 4, [[10, 20, 40, 60]] * 4) == [[10, 30, 30, 60]] * 4
    # A bell of std 0.4 on 3 x 3 pixels, whose weights along a line are 1 and exp(-1 / 0.32).
    side = math.exp(-0.5 / 0.4**2)
    share = 1 / (1 + 2 * side)
    dot = [[255 if (row, column) == (16, 16) else 0 for column in range(32)] for row in range(32)]
    blurred = corrupt("defocus_blur", 1, dot)
    assert blurred[16][16] == round(255 * share**2)
    assert blurred[16][17] == blurred[15][16] == round(255 * share**2 * side)
    assert sum(map(sum, blurred)) == pytest.approx(255, abs=4)


def test_a_large_image_is_blurred_as_a_small_one() -> None:
    """Lengths grow with the image: enlarging and blurring is nearly blurring and enlarging."""
    small, index = draw_shapes(6).images, torch.arange(6)
    large = small.repeat_interleave(3, 2).repeat_interleave(3, 3)
    for name in ("defocus_blur", "motion_blur", "zoom_blur", "shift", "rotation"):
        enlarged = corrupt_images(small, index, name, 5).repeat_interleave(3, 2).repeat_interleave(3, 3).double()
        blurred = corrupt_images(large, index, name, 5).double()
        assert float((blurred - enlarged).abs().mean()) < 0.5 * float((blurred - large).abs().mean()), name


def test_pixelate_is_pillows_box_within_a_level() -> None:
    images = make_images(3, 3, 32, 32)
    for strength, (fraction,) in enumerate(CORRUPTIONS["pixelate"].strengths, 1):
        small = int(32 * fraction)
        for image, corrupted in zip(images, corrupt_images(images, torch.arange(3), "pixelate", strength), strict=True):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            picture = picture.resize((small, small), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
            expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1).int()
            assert int((corrupted.int() - expected).abs().max()) <= 1


def test_names_and_kinds_are_found_in_order() -> None:
    assert find_corruptions(None) == tuple(CORRUPTIONS)
    assert find_corruptions(["fog", "Noise", "shot-noise"]) == ("gaussian_noise", "shot_noise", "impulse_noise", "fog")
    assert len(find_corruptions("standard")) == 15
    assert find_corruptions("extra") == ("jpeg_quality", "shift", "rotation", "resolution")


@pytest.mark.parametrize(
    ("name", "strength", "channels", "message"),
    [
        ("frog", 1, 3, "corruption frog: there is none of this name; known are: fog"),
        ("noise", 1, 3, "corruption noise: is several; name one of: gaussian_noise, "),
        ("fog", 6, 3, "strength: 6 is out of range; it must be from 0 to 5"),
        ("fog", -1, 3, "strength: -1 is out of range"),
        ("fog", 1, 4, "images: have 4 channels; give images with one or three channels"),
    ],
)
def test_a_wrong_request_is_refused(name: str, strength: int, channels: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        corrupt_images(torch.zeros(1, channels, 4, 4, dtype=torch.uint8), torch.zeros(1).long(), name, strength)


def test_no_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="corruptions: there are none; name some of: standard, noise"):
        find_corruptions([])
