import math

import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor

from visionlib.data.augmentation import mix_images
from visionlib.data.augmentation.mix import Mix, blend_images, draw_beta
from visionlib.data.random import Stream, random_integers, random_uniform


def make_images(n: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0, 100.0])
def test_proportions_follow_the_beta_distribution(alpha: float) -> None:
    drawn = draw_beta(torch.arange(100_000), alpha, seed=3, epoch=2).double()
    variance = 1 / (4 * (2 * alpha + 1))
    assert drawn.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(variance / 100_000))
    assert drawn.var().item() == pytest.approx(variance, rel=0.03)
    expected = torch.from_numpy(beta(alpha, alpha).cdf([0.01, 0.1, 0.3, 0.5, 0.8, 0.99]))
    below = torch.stack([(drawn < number).double().mean() for number in (0.01, 0.1, 0.3, 0.5, 0.8, 0.99)])
    assert (below - expected).abs().max() < 4 * math.sqrt(0.25 / 100_000)
    if alpha >= 1:  # below it many numbers are 1 to float32, and the statistic finds ties
        assert kstest(drawn.numpy(), beta(alpha, alpha).cdf).pvalue > 0.001


def mix_in_a_loop(image: Tensor, partner: Tensor, index: int, mix: Mix, alpha: float, fraction: float) -> tuple:  # type: ignore[type-arg]
    """Mix one image as the docstring says, in Python's numbers."""
    at = torch.tensor([index])
    own = draw_beta(at, alpha, seed=5, epoch=1).item()
    choice = random_uniform(5, 1, at, Stream.MIX_CHOICE).item()
    height, width = image.shape[1:]
    if choice >= fraction:
        return image, 1.0
    if mix == "mixup" or (mix == "both" and choice >= fraction / 2):
        exact = own * image.double() + (1 - own) * partner.double()
        return exact, own
    mixed, pasted = image.clone(), 0
    high, wide = round(height * math.sqrt(1 - own)), round(width * math.sqrt(1 - own))
    top = int(random_integers(5, 1, at, Stream.MIX_ROW, height)) - high // 2
    left = int(random_integers(5, 1, at, Stream.MIX_COLUMN, width)) - wide // 2
    for row in range(max(top, 0), min(top + high, height)):
        for column in range(max(left, 0), min(left + wide, width)):
            mixed[:, row, column] = partner[:, row, column]
            pasted += 1
    return mixed, 1 - pasted / (height * width)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 12), (3, 2, 2), (1, 2, 5), (3, 1, 1)])
@pytest.mark.parametrize("mix", ["cutmix", "mixup", "both"])
@pytest.mark.parametrize(("alpha", "fraction"), [(1.0, 0.5), (0.2, 1.0)])
def test_mixing_equals_a_loop(mix: Mix, alpha: float, fraction: float, shape: tuple[int, int, int]) -> None:
    images, partners = make_images(60, *shape), make_images(60, *shape, seed=1)
    index = torch.arange(60) * 7
    mixed, weights = mix_images(images, partners, index, seed=5, epoch=1, mix=mix, alpha=alpha, fraction=fraction)
    for k in range(60):
        expected, weight = mix_in_a_loop(images[k], partners[k], int(index[k]), mix, alpha, fraction)
        # Half a value for the rounding of MixUp, and what the unit of its shares adds.
        assert (mixed[k].double() - expected.double()).abs().max() <= (0.505 if expected.is_floating_point() else 0)
        assert weights[k].item() == pytest.approx(weight, abs=1e-5)


def test_blends_by_hand() -> None:
    image = torch.tensor([10, 0, 3, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    partner = torch.tensor([13, 255, 0, 0], dtype=torch.uint8).view(1, 1, 2, 2)
    nowhere = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    half = torch.tensor([1 << 15], dtype=torch.int32)
    mixed, weights = blend_images(image, partner, nowhere, half)
    assert mixed.flatten().tolist() == [12, 128, 2, 128]  # 11.5, 127.5, 1.5 and 127.5: halves go up
    assert weights.tolist() == [0.5]
    corner = nowhere.clone()
    corner[0, 0, 0, 1] = True
    mixed, weights = blend_images(image, partner, corner, 0 * half)
    assert mixed.flatten().tolist() == [10, 255, 3, 255]
    assert weights.tolist() == [0.75]


def test_the_weight_is_the_fraction_of_the_pixels_that_stay() -> None:
    black, white = torch.zeros(500, 3, 9, 14, dtype=torch.uint8), torch.full((500, 3, 9, 14), 255, dtype=torch.uint8)
    mixed, weights = mix_images(black, white, torch.arange(500), seed=0, epoch=0, mix="cutmix", fraction=1.0)
    stays = (mixed == 0).sum((1, 2, 3)) / (3 * 9 * 14)
    torch.testing.assert_close(weights, stays, rtol=0, atol=1e-7)
    assert len(set(weights.tolist())) > 50


def test_boxes_have_the_area_that_clipping_leaves() -> None:
    """For sides s, whose square is uniform, the mean of (s - s^2 / 4)^2 is 77 / 240."""
    black, white = torch.zeros(20_000, 1, 64, 64, dtype=torch.uint8), torch.full((20_000, 1, 64, 64), 255).byte()
    _, weights = mix_images(black, white, torch.arange(20_000), seed=0, epoch=0, mix="cutmix", fraction=1.0)
    assert (1 - weights).mean().item() == pytest.approx(77 / 240, abs=4 * weights.std().item() / math.sqrt(20_000))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_the_fraction_is_mixed_and_both_kinds_are_equally_likely(fraction: float) -> None:
    images, partners = make_images(20_000, 1, 8, 8), make_images(20_000, 1, 8, 8, seed=1)
    mixed, weights = mix_images(images, partners, torch.arange(20_000), seed=1, epoch=0, fraction=fraction)
    is_mixed = (mixed != images).flatten(1).any(1)
    is_box = is_mixed & ((mixed == images) | (mixed == partners)).flatten(1).all(1) & (weights * 64 % 1 == 0)
    spread = 4 * math.sqrt(0.25 / 20_000)
    # A hundredth of the uniform proportions leaves no box, and a few blends round to the image itself.
    assert is_mixed.double().mean().item() == pytest.approx(fraction * 0.99, abs=spread + 0.01 * fraction)
    assert is_box.double().mean().item() == pytest.approx(fraction / 2 * 0.99, abs=spread + 0.01 * fraction)
    assert bool((weights[~is_mixed] > 0.99).all())


@pytest.mark.parametrize("mix", ["cutmix", "mixup", "both"])
def test_a_batch_equals_single_images(mix: Mix) -> None:
    images, partners = make_images(1500, 3, 7, 9), make_images(1500, 3, 7, 9, seed=1)
    index = torch.arange(1500) * 3
    whole, weights = mix_images(images, partners, index, seed=2, epoch=4, mix=mix)
    pixels = images.contiguous(memory_format=torch.channels_last)
    for k in (0, 1, 1023, 1024, 1499):
        one = slice(k, k + 1)
        alone, weight = mix_images(pixels[one], partners[one], index[one], seed=2, epoch=4, mix=mix)
        assert torch.equal(alone[0], whole[k])
        assert weight[0] == weights[k]
    order = torch.randperm(1500)
    permuted, _ = mix_images(images[order], partners[order], index[order], seed=2, epoch=4, mix=mix)
    assert torch.equal(permuted, whole[order])
    assert all(
        not torch.equal(whole, mix_images(images, partners, index + more, seed=seed, epoch=epoch, mix=mix)[0])
        for more, seed, epoch in ((1, 2, 4), (0, 3, 4), (0, 2, 5))
    )


@pytest.mark.parametrize("mix", ["cutmix", "mixup", "both"])
def test_an_image_mixed_with_itself_stays_and_nothing_is_written_to(mix: Mix) -> None:
    images = make_images(300, 3, 6, 5)
    kept = images.clone()
    mixed, _ = mix_images(images, images, torch.arange(300), seed=0, epoch=0, mix=mix, fraction=1.0)
    assert torch.equal(mixed, kept)
    assert torch.equal(images, kept)
    assert mixed is not images


@pytest.mark.parametrize("settings", [{"mix": "none"}, {"fraction": 0.0}])
def test_what_is_off_gives_the_images_themselves(settings: dict[str, object]) -> None:
    images = make_images(3, 1, 4, 4)
    mixed, weights = mix_images(images, images.flip(0), torch.arange(3), seed=0, epoch=0, **settings)  # type: ignore[arg-type]
    assert mixed is images
    assert weights.tolist() == [1.0, 1.0, 1.0]


def test_an_empty_batch_stays_empty() -> None:
    images = make_images(0, 3, 4, 4)
    mixed, weights = mix_images(images, images, torch.arange(0), seed=0, epoch=0)
    assert mixed.shape == images.shape
    assert weights.shape == (0,)


@pytest.mark.parametrize(("alpha", "fraction"), [(0.0, 0.5), (-1.0, 0.5), (1.0, 1.5), (1.0, -0.1), (math.nan, 0.5)])
def test_impossible_numbers_are_refused(alpha: float, fraction: float) -> None:
    images = make_images(2, 3, 4, 4)
    with pytest.raises(ValueError, match=f"got {alpha} and {fraction}"):
        mix_images(images, images, torch.arange(2), seed=0, epoch=0, alpha=alpha, fraction=fraction)
