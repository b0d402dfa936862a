"""Examples are chosen by chance of the seed and by nothing else."""

import pytest
import torch

from visionlib.data import ImageSplit
from visionlib.inspection import choose_examples

CLASSES = ("cat", "dog", "absent", "ship")


def make_split(n: int = 90) -> ImageSplit:
    labels = torch.tensor([0, 0, 1, 3, 0])[torch.arange(n) % 5]
    return ImageSplit(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), labels, CLASSES, torch.arange(n) + 7)


def test_each_class_has_its_own_and_all_of_them_if_they_are_few() -> None:
    split = make_split()
    chosen = choose_examples(split, 20, seed=0)
    assert chosen.shape == (4, 20)
    for label, row in enumerate(chosen.tolist()):
        members = [at for at in row if at >= 0]
        assert len(set(members)) == len(members) == min(20, int((split.labels == label).sum()))
        assert all(int(split.labels[at]) == label for at in members)
        assert row[len(members) :] == [-1] * (20 - len(members))
    assert sorted(chosen[1].tolist()[:18]) == (split.labels == 1).nonzero().flatten().tolist()


def test_the_choice_depends_on_seed_and_index_alone_and_few_are_the_first_of_many() -> None:
    split = make_split()
    chosen = choose_examples(split, 6, seed=3)
    assert torch.equal(choose_examples(split, 6, seed=3), chosen)
    assert torch.equal(choose_examples(split, 2, seed=3), chosen[:, :2])
    assert not torch.equal(choose_examples(split, 6, seed=4), chosen)
    shuffled = split.subset(torch.randperm(len(split), generator=torch.Generator().manual_seed(0)))
    again = choose_examples(shuffled, 6, seed=3)
    for label in (0, 1, 3):
        assert torch.equal(shuffled.index[again[label]], split.index[chosen[label]])


def test_every_image_is_as_likely_as_any_other() -> None:
    split = make_split(100)  # 60 of the first class
    counts = torch.zeros(100)
    for seed in range(600):
        counts[choose_examples(split, 6, seed)[0]] += 1
    drawn = counts[split.labels == 0]
    assert counts.sum() == drawn.sum() == 3600
    # Expected 60 each; five standard deviations of a binomial of 600 draws with a chance of 0.1 are 37.
    assert 23 < drawn.min() <= drawn.max() < 97


def test_no_images_and_too_few_wanted() -> None:
    none = make_split().subset(torch.tensor([], dtype=torch.int64))
    assert choose_examples(none, 2, seed=0).tolist() == [[-1, -1]] * 4
    with pytest.raises(ValueError, match="per_class must be at least 1, and it is 0"):
        choose_examples(none, 0, seed=0)
