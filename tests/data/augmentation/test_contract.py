"""What all augmentations promise: an image's result depends on it, its index, the seed and the epoch alone."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from visionlib.data.augmentation import (
    augment_trivially,
    crop_images,
    cut_out_images,
    erase_images,
    flip_images,
    flip_images_alternating,
    jitter_colours,
    transform_images,
)

Augmentation = Callable[..., Tensor]

AUGMENTATIONS: dict[str, Augmentation] = {
    "affine": transform_images,
    "alternating": flip_images_alternating,
    "colours": jitter_colours,
    "crop": crop_images,
    "cutout": partial(cut_out_images, size_px=6),
    "erase": erase_images,
    "flip": flip_images,
    "policy": augment_trivially,
}


def make_images(n: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width + channels)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


@pytest.fixture(params=AUGMENTATIONS)
def augment(request: pytest.FixtureRequest) -> Augmentation:
    return AUGMENTATIONS[request.param]


@pytest.mark.parametrize("shape", [(40, 3, 32, 32), (20, 1, 28, 28), (20, 3, 9, 14), (10, 3, 224, 224)])
def test_a_batch_equals_single_images(augment: Augmentation, shape: tuple[int, int, int, int]) -> None:
    images = make_images(*shape)
    index = torch.randperm(10**6, generator=torch.Generator().manual_seed(0))[: len(images)]
    # With this seed a mean taken in float32 shows: threads split one large image's sum otherwise than a batch's.
    whole = augment(images, index, seed=8, epoch=2)
    single = [augment(images[k : k + 1], index[k : k + 1], seed=8, epoch=2) for k in range(len(images))]
    assert torch.equal(whole, torch.cat(single))
    assert whole.shape == images.shape


def test_a_permuted_batch_gives_the_permuted_result(augment: Augmentation) -> None:
    images, index = make_images(100, 3, 12, 10), torch.arange(100)
    turned = index.flip(0)
    expected = augment(images, index, seed=3, epoch=2)[turned]
    assert torch.equal(augment(images[turned], turned, seed=3, epoch=2), expected)


def test_what_is_cut_in_chunks_equals_the_whole(augment: Augmentation) -> None:
    images, index = make_images(4200, 1, 6, 6), torch.arange(4200)
    whole = augment(images, index, seed=3, epoch=2)
    pieces = [
        augment(a, b, seed=3, epoch=2) for a, b in zip(torch.split(images, 999), torch.split(index, 999), strict=True)
    ]
    assert torch.equal(whole, torch.cat(pieces))


def test_input_and_global_generator_are_left_alone(augment: Augmentation) -> None:
    images, index = make_images(50, 3, 12, 10), torch.arange(50)
    kept, kept_index, state = images.clone(), index.clone(), torch.random.get_rng_state()
    augment(images, index, seed=3, epoch=2)
    assert torch.equal(images, kept)
    assert torch.equal(index, kept_index)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_memory_layout_does_not_matter(augment: Augmentation) -> None:
    images, index = make_images(50, 3, 12, 10), torch.arange(50)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(channels_last, index, seed=3, epoch=2), augment(images, index, seed=3, epoch=2))


def test_seed_epoch_and_index_each_matter(augment: Augmentation) -> None:
    images, index = make_images(50, 3, 12, 10), torch.arange(50)
    first = augment(images, index, seed=3, epoch=2)
    assert torch.equal(first, augment(images, index, seed=3, epoch=2))
    for other in (
        augment(images, index, seed=4, epoch=2),
        augment(images, index, seed=3, epoch=3),
        augment(images, index + 1, seed=3, epoch=2),
    ):
        assert not torch.equal(first, other)


def test_an_empty_batch_stays_empty(augment: Augmentation) -> None:
    assert augment(make_images(0, 3, 12, 10), torch.arange(0), seed=3, epoch=2).shape == (0, 3, 12, 10)
