import pytest
import torch

from visionlib.data import Dataset
from visionlib.training import RECIPES, TrainConfig
from visionlib.training.batches import augment_images, epoch_batches, prepare_inputs


@pytest.mark.parametrize("batch_size", [1, 7, 64, 200, 1000])
def test_every_image_is_in_one_batch_and_batches_are_even(small_shapes: Dataset, batch_size: int) -> None:
    batches = epoch_batches(small_shapes.train, batch_size, seed=3, epoch=5)
    assert sorted(torch.cat(batches).tolist()) == list(range(200))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_order_is_a_function_of_seed_and_epoch(small_shapes: Dataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(epoch_batches(small_shapes.train, 64, seed=seed, epoch=epoch)).tolist()

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert order(1, 0) != first
    assert order(0, 1) != first


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_image_is_augmented_alike_whatever_stands_beside_it(small_shapes: Dataset, recipe: str) -> None:
    split, config = small_shapes.train, RECIPES[recipe]
    whole = augment_images(split.images, split.index, config, epoch=1)
    assert not torch.equal(whole, split.images)
    for position in (0, 17, 199):
        alone = augment_images(split.images[[position]], split.index[[position]], config, epoch=1)
        assert torch.equal(alone[0], whole[position])


def test_all_magnitudes_at_zero_leave_the_images_alone(small_shapes: Dataset) -> None:
    split = small_shapes.train
    config = TrainConfig(flip="none", crop_px=0)
    assert torch.equal(augment_images(split.images, split.index, config, epoch=0), split.images)


def test_half_the_side_is_the_mean_of_antialiased_neighbours() -> None:
    """A plane of constant slope keeps its values under any symmetric antialiasing; the border is left out."""
    rows = (torch.arange(32) * 8).to(torch.uint8).reshape(1, 1, 32, 1).expand(1, 1, 32, 32).contiguous()
    small = prepare_inputs(rows, (0.0,), (1.0,), 16)
    expected = (torch.arange(16) * 16 + 4) / 255
    assert small.shape == (1, 1, 16, 16)
    assert torch.allclose(small[0, 0, 1:-1, 5], expected[1:-1], atol=1e-6)


def test_images_that_are_not_square_keep_their_proportion() -> None:
    images = torch.zeros(2, 3, 32, 64, dtype=torch.uint8)
    assert prepare_inputs(images, (0.5,) * 3, (0.5,) * 3, 16).shape == (2, 3, 16, 32)
    assert prepare_inputs(images, (0.5,) * 3, (0.5,) * 3, 32).shape == (2, 3, 32, 64)
