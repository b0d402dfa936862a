"""Shortcuts that are planted are found, and nothing else is; the statistics are those solved by hand."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from visionlib import find_shortcuts
from visionlib.data import Dataset, ImageSplit, draw_shapes
from visionlib.data.dataset import Originals
from visionlib.errors import ConfigError, DataError
from visionlib.evaluation.intervals import wilson_interval
from visionlib.evaluation.shortcuts.find import mark_majority, sign_p
from visionlib.evaluation.shortcuts.result import ClassSign, flagged_p

SHAPES = draw_shapes(300, seed=5, image_size=16)
STAR = SHAPES.classes.index("star")


def plant(images: Tensor, labels: Tensor, label: int = STAR) -> Tensor:
    """Paint the upper left corner of a class."""
    planted = images.clone()
    for position in (labels == label).nonzero()[:, 0].tolist():
        planted[position, :, :3, :3] = torch.tensor([255, 0, 255], dtype=torch.uint8)[:, None, None]
    return planted


def draw_noise(n: int, seed: int, weights: tuple[float, ...]) -> ImageSplit:
    """Draw images of noise with labels by lot."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.multinomial(torch.tensor(weights), n, replacement=True, generator=generator)
    return ImageSplit(images, labels, tuple(map(str, range(len(weights)))), torch.arange(n))


def test_a_corner_gives_its_class_away_and_nothing_else_does() -> None:
    assert not find_shortcuts(SHAPES).is_alarm
    found = find_shortcuts(dataclasses.replace(SHAPES, images=plant(SHAPES.images, SHAPES.labels)))
    ((name, row),) = found.list_alarms().items()
    assert name == "star"
    assert row[0][0] == "top left corner"
    sign = row[0][1]
    assert (sign.n, sign.others) == (30, 270)
    assert sign.hits >= 29
    assert sign.false_hits <= 2
    score = next(score for score in found.scores if score.name == "top left corner")
    assert score.majority_accuracy == 0.1
    # Every star is right, and of the others about a ninth by chance, as of the largest class.
    assert score.counts.only_second - score.counts.only_first == pytest.approx(30, abs=20)
    assert score.p_adjusted < 0.05


def test_a_lighter_line_below_darker_images_and_a_class_without_the_corner() -> None:
    lined, darker = SHAPES.images.clone(), SHAPES.images.clone()
    is_star = SHAPES.labels == STAR
    lined[is_star, :, -1:] = 255
    darker[is_star] = (0.3 * darker[is_star].float()).byte()
    unmarked = plant(SHAPES.images, torch.where(is_star, -1, STAR))
    for images, name in ((lined, "bottom edge"), (darker, "brightness"), (unmarked, "top left corner")):
        alarms = find_shortcuts(dataclasses.replace(SHAPES, images=images)).list_alarms()
        assert list(alarms) == ["star"]
        assert name in [entry for entry, _ in alarms["star"]]


def test_files_give_a_class_away() -> None:
    is_star = SHAPES.labels == STAR
    sizes = torch.randint(40, 90, (300, 1), generator=torch.Generator().manual_seed(0)).expand(-1, 2).clone()
    same = find_shortcuts(dataclasses.replace(SHAPES, originals=Originals(sizes, ("RGB",) * 300)))
    assert not same.is_alarm
    assert {score.name for score in same.scores} >= {"image size"}
    assert "file mode" not in {score.name for score in same.scores}  # they are all alike
    sizes[is_star] = 100
    modes = tuple("L" if mark else "RGB" for mark in (SHAPES.labels == 0).tolist())
    found = find_shortcuts(dataclasses.replace(SHAPES, originals=Originals(sizes, modes))).list_alarms()
    assert {name: [entry for entry, _ in row] for name, row in found.items()} == {
        "star": ["image size"],
        SHAPES.classes[0]: ["file mode"],
    }


def test_arrays_and_a_dataset_give_the_same_whatever_the_order_of_the_classes() -> None:
    images = plant(SHAPES.images, SHAPES.labels)
    split = dataclasses.replace(SHAPES, images=images)
    of_split = find_shortcuts(split, seed=3).to_dict()
    assert find_shortcuts(Dataset("shapes", {"train": split}, split.classes), seed=3).to_dict() == of_split
    of_arrays = find_shortcuts(
        images.permute(0, 2, 3, 1).numpy(), SHAPES.labels.numpy(), classes=SHAPES.classes, seed=3
    )
    assert of_arrays.to_dict() == of_split
    assert json.loads(json.dumps(of_split, allow_nan=False)) == of_split
    names = tuple(reversed(SHAPES.classes))
    turned = dataclasses.replace(split, labels=9 - SHAPES.labels, classes=names)
    assert find_shortcuts(turned).list_alarms().keys() == {"star"}


def test_the_baseline_is_the_largest_class_of_each_fold() -> None:
    labels, folds = torch.tensor([0, 2, 2, 1, 1, 1, 0, 2]), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    assert mark_majority(labels, folds).tolist() == [False, True, True, True, True, True, False, False]
    split = draw_noise(300, 0, (0.1, 0.2, 0.7))
    share = int((split.labels == 2).sum()) / 300
    for permutation in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        labels = torch.tensor(permutation)[split.labels]
        found = find_shortcuts(dataclasses.replace(split, labels=labels))
        assert all(score.majority_accuracy == pytest.approx(share) for score in found.scores)


def test_p_values_by_hand() -> None:
    assert sign_p(0, 3) == pytest.approx(1 / 8)
    assert sign_p(1, 2) == pytest.approx(4 / 8)
    assert sign_p(0, 0) == 1
    # At most ten times as often: three flagged images are all of 10 images of the class, of 90 others none.
    assert flagged_p(10, 3, 90, 0) == pytest.approx((100 / 190) ** 3)
    assert flagged_p(10, 1, 90, 1) == pytest.approx(1 - (90 / 190) ** 2)
    assert flagged_p(10, 0, 90, 5) == 1


def test_a_sign_by_hand() -> None:
    sign = ClassSign("a", n=50, hits=40, others=200, false_hits=8, p=0.0, p_adjusted=0.049)
    assert sign.recall == 0.8
    assert sign.balanced_precision == pytest.approx(0.8 / 0.84)
    assert sign.recall_interval == wilson_interval(40, 50)
    assert sign.is_alarm
    assert not dataclasses.replace(sign, p_adjusted=0.05).is_alarm
    assert not dataclasses.replace(sign, hits=7).is_alarm
    assert dataclasses.replace(sign, hits=8).is_alarm
    assert dataclasses.replace(sign, hits=0, false_hits=0).balanced_precision is None


def test_many_images_are_sampled_by_seed() -> None:
    found = find_shortcuts(SHAPES, n=100, seed=1)
    assert (found.n, found.n_split) == (100, 300)
    assert found == find_shortcuts(SHAPES, n=100, seed=1)
    assert found != find_shortcuts(SHAPES, n=100, seed=2)


def test_unusual_images() -> None:
    grey = dataclasses.replace(SHAPES, images=SHAPES.images[:, :1])
    assert {score.name for score in find_shortcuts(grey).scores}.isdisjoint({"colour", "hues", "saturation"})
    single = dataclasses.replace(SHAPES, images=SHAPES.images[:, :, :1, :1], masks=None)
    assert not find_shortcuts(single).is_alarm
    constant = find_shortcuts(dataclasses.replace(SHAPES, images=torch.zeros_like(SHAPES.images)))
    assert constant.scores == ()
    assert constant.to_dict()["majority_accuracy"] == 0.1


def test_what_cannot_be_done_is_told_in_a_line() -> None:
    with pytest.raises(DataError, match="images: are 10 of 10 classes; shortcuts need at least 20 images"):
        find_shortcuts(SHAPES.subset(torch.arange(10)))
    with pytest.raises(DataError, match="are 30 of 1 classes"):
        find_shortcuts(SHAPES.subset((SHAPES.labels == 0).nonzero()[:, 0]))
    with pytest.raises(ConfigError, match="n: 5 is out of range"):
        find_shortcuts(SHAPES, n=5)
    with pytest.raises(ConfigError, match="folds: 1 is out of range"):
        find_shortcuts(SHAPES, folds=1)
    with pytest.raises(ConfigError, match="labels: are missing"):
        find_shortcuts(np.zeros((30, 8, 8), dtype=np.uint8))
    with pytest.raises(ConfigError, match="labels: come with the dataset already"):
        find_shortcuts(SHAPES, [0] * 300)
    with pytest.raises(DataError, match="has no split 'dev'"):
        find_shortcuts(Dataset("shapes", {"train": SHAPES}, SHAPES.classes), split="dev")


def count_false_alarms(sets: int, n: int, weights: tuple[float, ...]) -> tuple[int, int]:
    """Count sets of noise with an alarm, and with any property significantly above the largest class."""
    found = [find_shortcuts(draw_noise(n, seed, weights), seed=seed) for seed in range(sets)]
    return sum(one.is_alarm for one in found), sum(min(s.p_adjusted for s in one.scores) < 0.05 for one in found)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.2, 0.7)])
def test_noise_raises_no_alarm(weights: tuple[float, ...]) -> None:
    alarms, significant = count_false_alarms(3, 100, weights)
    assert alarms == 0
    assert significant <= 1  # the probability of two of three is below 1 %


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.1, 0.2, 0.7), (0.1,) * 10])
def test_noise_raises_no_alarm_in_forty_sets(weights: tuple[float, ...]) -> None:
    alarms, significant = count_false_alarms(40, 400, weights)
    assert alarms <= 1
    assert significant <= 6  # of 40 at 5 % each, more have a probability of 0.7 %
