import itertools

import torch

from visionlib.data.augmentation import flip_images, flip_images_alternating, mirror_images

ARROW = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
MIRRORED = torch.tensor([[3, 2, 1], [6, 5, 4]], dtype=torch.uint8)


def test_mirror_by_hand() -> None:
    assert torch.equal(mirror_images(ARROW[None, None])[0, 0], MIRRORED)


def is_mirrored(images: torch.Tensor) -> torch.Tensor:
    """Tell for every picture of the arrow which way it points; it must be one of the two."""
    mirrored = (images[:, 0] == MIRRORED).flatten(1).all(1)
    assert bool((mirrored ^ (images[:, 0] == ARROW).flatten(1).all(1)).all())
    return mirrored


def test_a_coin_is_thrown_for_every_image_in_every_epoch() -> None:
    images, index = ARROW.expand(10_000, 1, 2, 3), torch.arange(10_000)
    first = is_mirrored(flip_images(images, index, seed=0, epoch=0))
    second = is_mirrored(flip_images(images, index, seed=0, epoch=1))
    # Four standard deviations of 10,000 fair coins are 200.
    assert abs(int(first.sum()) - 5000) < 200
    assert abs(int((first == second).sum()) - 5000) < 200


def test_alternating_starts_at_random_and_then_takes_turns() -> None:
    images, index = ARROW.expand(10_000, 1, 2, 3), torch.arange(10_000)
    epochs = [is_mirrored(flip_images_alternating(images, index, seed=0, epoch=epoch)) for epoch in range(5)]
    assert abs(int(epochs[0].sum()) - 5000) < 200
    for before, after in itertools.pairwise(epochs):
        assert torch.equal(before, ~after)
