from typing import Any

import pytest
import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.data.augmentation import mix_images
from visionlib.training import RECIPES, TrainConfig
from visionlib.training.batches import augment_images, augmented_batches, copy_ahead, epoch_batches, mix_batches
from visionlib.training.config import Mix
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.pace import Pace
from visionlib.training.schedule import is_mixing_epoch

STRONG = TrainConfig(
    batch_size=23, seed=3, policy="trivial", policy_strength=0.7, erase_fraction=0.5, mix="both", mix_fraction=0.8
)


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


def test_policy_and_erasing_do_not_depend_on_the_other_images_of_a_batch(small_shapes: Dataset) -> None:
    split = small_shapes.train
    plain = augment_images(split.images, split.index, STRONG.replace(policy="none", erase_fraction=0.0), epoch=1)
    whole = augment_images(split.images, split.index, STRONG, epoch=1)
    assert (whole != plain).flatten(1).any(1).double().mean() > 0.8
    for position in range(0, 200, 9):
        alone = augment_images(split.images[[position]], split.index[[position]], STRONG, epoch=1)
        assert torch.equal(alone[0], whole[position])


def mixed_batches(
    split: ImageSplit, config: TrainConfig, epoch: int, group: ProcessGroup = SINGLE_PROCESS
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    batches = epoch_batches(split, config.batch_size, seed=config.seed, epoch=epoch)
    return list(augmented_batches(split, batches, config, group))


@pytest.mark.parametrize("mix", ["cutmix", "mixup", "both"])
def test_each_image_is_mixed_with_the_one_before_it_in_the_batch(small_shapes: Dataset, mix: Mix) -> None:
    """The loop augments every image and its partner alone."""
    split, config = small_shapes.train, STRONG.replace(mix=mix, mix_alpha=0.7)
    batches = epoch_batches(split, 23, seed=3, epoch=2)
    mixed = mixed_batches(split, config, 2)
    assert [len(batch) for batch in batches] == [len(images) for images, _ in mixed]
    for batch, (images, targets) in zip(batches[:3], mixed, strict=False):
        for at in range(len(batch)):
            own, partner = batch[[at], 0], batch[[at - 1], 0]
            alone, other = (augment_images(split.images[k], split.index[k], config, 2) for k in (own, partner))
            draw = {"alpha": 0.7, "fraction": 0.8}
            expected, weight = mix_images(alone, other, split.index[own], seed=3, epoch=2, mix=mix, **draw)
            assert torch.equal(images[at], expected[0])
            target = torch.zeros(10)
            target[split.labels[own]] += weight
            target[split.labels[partner]] += 1 - weight
            torch.testing.assert_close(targets[at], target)
    assert sum(int((targets > 0).sum(1).max()) for _, targets in mixed) > len(mixed)


@pytest.mark.parametrize("size", [2, 3])
def test_the_shards_of_processes_make_up_the_batches_of_one(small_shapes: Dataset, size: int) -> None:
    split = small_shapes.train
    shards = [mixed_batches(split, STRONG, 1, ProcessGroup(rank, size)) for rank in range(size)]
    for step, (images, targets) in enumerate(mixed_batches(split, STRONG, 1)):
        for rank in range(size):
            assert torch.equal(shards[rank][step][0], images.tensor_split(size)[rank])
            assert torch.equal(shards[rank][step][1], targets.tensor_split(size)[rank])


def test_mixing_many_batches_at_once_equals_mixing_one_by_one(small_shapes: Dataset) -> None:
    """As a GPU does."""
    split = small_shapes.train
    batches = epoch_batches(split, 23, seed=3, epoch=1)
    positions = torch.cat(batches)[:, 0]
    augmented = augment_images(split.images[positions], split.index[positions], STRONG, 1)
    images, targets = mix_batches(augmented, split, batches, STRONG, SINGLE_PROCESS)
    assert torch.equal(images, torch.cat([part for part, _ in mixed_batches(split, STRONG, 1)]))
    assert torch.equal(targets, torch.cat([part for _, part in mixed_batches(split, STRONG, 1)]))


@pytest.mark.parametrize(
    ("epochs", "end", "is_mixed"),
    [
        (4, 1.0, [True] * 4),
        (4, 0.75, [True] * 3 + [False]),
        (4, 0.6, [True] * 3 + [False]),
        (4, 0.5, [True] * 2 + [False] * 2),
        (4, 0.0, [False] * 4),
        (1, 0.9, [True]),
    ],
)
def test_mixing_ends_after_its_fraction_of_the_epochs(epochs: int, end: float, is_mixed: list[bool]) -> None:
    config = STRONG.replace(epochs=epochs, mix_end=end)
    pace = Pace.of_steps(epochs * 7)
    assert [is_mixing_epoch(pace.position(7 * epoch), config) for epoch in range(epochs)] == is_mixed


def test_an_epoch_after_mixing_has_whole_images_and_soft_targets(small_shapes: Dataset) -> None:
    split = small_shapes.train
    batches = epoch_batches(split, 23, seed=3, epoch=1)
    images, targets = next(augmented_batches(split, batches, STRONG, is_mixing=False))
    positions = batches[0][:, 0]
    assert torch.equal(images, augment_images(split.images[positions], split.index[positions], STRONG, 1))
    assert torch.equal(targets, torch.eye(10)[split.labels[positions]])


def test_without_mixing_there_are_labels(small_shapes: Dataset) -> None:
    split = small_shapes.train
    batches = epoch_batches(split, 23, seed=3, epoch=0)
    config = STRONG.replace(mix="none")
    for batch, (images, labels) in zip(batches, mixed_batches(split, config, 0), strict=True):
        positions = batch[:, 0]
        assert torch.equal(labels, split.labels[positions])
        assert torch.equal(images, augment_images(split.images[positions], split.index[positions], config, 0))


@pytest.mark.parametrize("shape", [(3, 2, 2), (1, 2, 7), (1, 9, 4), (3, 1, 1)])
@pytest.mark.parametrize(("n", "batch_size", "classes"), [(1, 1, 1), (5, 1, 3), (5, 2, 1)])
def test_small_images_and_batches_of_one_image_can_be_mixed(
    shape: tuple[int, int, int], n: int, batch_size: int, classes: int
) -> None:
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8)
    names = tuple("abc"[:classes])
    split = ImageSplit(images, torch.arange(n) % classes, names, torch.arange(n))
    config = STRONG.replace(batch_size=batch_size, crop_px=0, mix_fraction=1.0)
    for epoch in range(10):
        batches = mixed_batches(split, config, epoch)
        for mixed, targets in batches:
            assert mixed.shape[1:] == shape
            assert mixed.dtype == torch.uint8
            torch.testing.assert_close(targets.sum(1), torch.ones(len(mixed)))
        if batch_size == 1:  # each is its own partner
            order = torch.cat(epoch_batches(split, 1, seed=3, epoch=epoch))[:, 0]
            alone = augment_images(split.images[order], split.index[order], config, epoch)
            assert torch.equal(torch.cat([mixed for mixed, _ in batches]), alone)


def test_balanced_shards_mix_the_partners_of_the_same_passes(small_shapes: Dataset) -> None:
    """An image that is drawn twice has two augmentations; a shard must mix with the right one."""
    split = small_shapes.train.subset(torch.cat([torch.arange(0, 30), torch.arange(150, 153)]))
    batches = epoch_batches(split, 11, seed=3, epoch=1, balance=True)
    assert len({draw[1] for batch in batches for draw in batch.tolist()}) > 1
    whole = list(augmented_batches(split, batches, STRONG))
    for rank in range(2):
        shards = augmented_batches(split, batches, STRONG, ProcessGroup(rank, 2))
        for (images, targets), (part, part_targets) in zip(whole, shards, strict=True):
            assert torch.equal(part, images.tensor_split(2)[rank])
            assert torch.equal(part_targets, targets.tensor_split(2)[rank])


def test_blocks_from_elsewhere_are_those_of_their_positions_and_only_the_next_one_is_copied_ahead(
    small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, copied = small_shapes.train.images, list[int]()
    blocks = [torch.randperm(200)[:n] for n in (7, 1, 200, 30, 7)]
    move = torch.Tensor.to

    def count(self: torch.Tensor, *args: Any) -> Any:
        copied.extend([len(self)] * (self.ndim == images.ndim))
        return move(self, *args)

    monkeypatch.setattr(torch.Tensor, "to", count)
    for at, (found, positions) in enumerate(
        zip(copy_ahead(images.__getitem__, blocks, torch.device("cpu")), blocks, strict=True)
    ):
        assert torch.equal(found, images[positions])
        assert len(copied) <= at + 2
    assert copied == [7, 1, 200, 30, 7]
    assert list(copy_ahead(images.__getitem__, [], torch.device("cpu"))) == []


def test_an_error_while_copying_ahead_is_raised_and_ends_the_thread(small_shapes: Dataset) -> None:
    blocks = copy_ahead(small_shapes.train.gather, [torch.tensor([0]), torch.tensor([200])], torch.device("cpu"))
    assert len(next(blocks)) == 1
    with pytest.raises(IndexError):
        next(blocks)
