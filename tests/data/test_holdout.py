import pytest
import torch

from tests.data import containers
from visionlib.data import ImageSplit, hold_out


def test_classes_are_parted_alike_and_nothing_is_lost() -> None:
    split = containers.draw_noise(1, 20, seed=1)
    kept, held_out = hold_out(split, 0.25, seed=0)
    assert set(kept.per_class.values()) == {15}
    assert set(held_out.per_class.values()) == {5}
    assert sorted(kept.index.tolist() + held_out.index.tolist()) == list(range(200))
    assert kept.index.tolist() == sorted(kept.index.tolist())
    assert torch.equal(held_out.images, split.images[held_out.index])


def test_the_seed_decides() -> None:
    split = containers.draw_noise(1, 20, seed=1)
    first, again, other = (hold_out(split, 0.25, seed)[1].index.tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(("members", "fraction", "expected"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.16, 2)])
def test_small_classes_have_an_image_on_either_side(members: int, fraction: float, expected: int) -> None:
    images = torch.zeros(members, 1, 4, 4, dtype=torch.uint8)
    split = ImageSplit(images, torch.zeros(members, dtype=torch.int64), ("a", "none"), torch.arange(members))
    kept, held_out = hold_out(split, fraction, seed=0)
    assert (len(kept), len(held_out)) == (members - expected, expected)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_fraction_that_leaves_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"fraction must be above 0 and below 1, and it is {fraction}"):
        hold_out(containers.draw_noise(1, 2, seed=1), fraction, seed=0)
