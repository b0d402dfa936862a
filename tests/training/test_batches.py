import pytest
import torch

from visionlib.data import Dataset
from visionlib.training import RECIPES, TrainConfig
from visionlib.training.batches import augment_images, epoch_batches


@pytest.mark.parametrize("batch_size", [1, 7, 64, 200, 1000])
def test_every_image_is_in_one_batch_and_batches_are_even(small_shapes: Dataset, batch_size: int) -> None:
    batches = epoch_batches(small_shapes.train, batch_size, seed=3, epoch=5)
    positions, passes = torch.cat(batches).unbind(1)
    assert sorted(positions.tolist()) == list(range(200))
    assert set(passes.tolist()) == {5}
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_order_is_a_function_of_seed_and_epoch(small_shapes: Dataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(epoch_batches(small_shapes.train, 64, seed=seed, epoch=epoch))[:, 0].tolist()

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert order(1, 0) != first
    assert order(0, 1) != first


@pytest.mark.parametrize("recipe", RECIPES)
def test_augmentation_does_not_depend_on_the_other_images_of_a_batch(small_shapes: Dataset, recipe: str) -> None:
    split, config = small_shapes.train, RECIPES[recipe]
    whole = augment_images(split.images, split.index, config, epoch=1)
    assert not torch.equal(whole, split.images)
    for position in (0, 17, 199):
        alone = augment_images(split.images[[position]], split.index[[position]], config, epoch=1)
        assert torch.equal(alone[0], whole[position])


def test_magnitudes_of_zero_change_no_image(small_shapes: Dataset) -> None:
    split = small_shapes.train
    config = TrainConfig(flip="none", crop_px=0)
    assert torch.equal(augment_images(split.images, split.index, config, epoch=0), split.images)
