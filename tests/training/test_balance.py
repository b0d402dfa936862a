"""Balanced epochs: equal shares of the classes, even use of their images, and another augmentation for every draw."""

import signal
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.training.interrupting import interrupt_after, same_weights, without_times
from tests.training.launching import history, train_as
from visionlib.data import Dataset, ImageSplit
from visionlib.data.description import describe_imbalance
from visionlib.data.random import Stream, random_order
from visionlib.evaluation.intervals import wilson_interval
from visionlib.runs import read_json
from visionlib.training import TrainConfig, resume, train
from visionlib.training.balance import balanced_draws
from visionlib.training.baseline import compare_with_largest_class
from visionlib.training.batches import augment_images, augmented_batches, epoch_batches


def noise(counts: tuple[int, ...], size: int = 8) -> ImageSplit:
    """A split of noise with these numbers of images per class, in mixed order, with ids that are no positions."""
    n = sum(counts)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))[torch.randperm(n)]
    names = tuple(f"class {label}" for label in range(len(counts)))
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)
    return ImageSplit(images, labels, names, torch.arange(n) * 3 + 7)


def draws_of(split: ImageSplit, epochs: int) -> list[list[tuple[int, int]]]:
    return [[(p, q) for p, q in balanced_draws(split, seed=4, epoch=epoch).tolist()] for epoch in range(epochs)]


@pytest.mark.parametrize("counts", [(90, 10), (50, 3, 1), (7, 7, 7), (200, 0, 11), (1, 1, 1, 1, 1), (5,)])
def test_classes_have_equal_shares_and_their_images_equal_turns(counts: tuple[int, ...]) -> None:
    split = noise(counts)
    n, present, per_image, per_class = sum(counts), sum(map(bool, counts)), Counter[int](), Counter[int]()
    for epoch in draws_of(split, 7):
        assert len(epoch) == n
        of_class = Counter(int(split.labels[position]) for position, _ in epoch)
        assert len(of_class) == min(present, n)
        assert {n // present, -(-n // present)} >= set(of_class.values())
        per_class += of_class
        for position, number in epoch:
            per_image[position] += 1
            assert number <= 7 * n
        assert max(per_class.values()) - min(per_class.values()) <= 1
        for label in range(len(counts)):
            turns = [per_image[position] for position in (split.labels == label).nonzero().flatten().tolist()]
            assert not turns or max(turns) - min(turns) <= 1


def test_the_pass_of_a_draw_is_the_number_of_draws_before() -> None:
    split, before = noise((30, 4)), Counter[int]()
    for epoch in draws_of(split, 5):
        assert len(set(epoch)) == len(epoch)  # an image that is drawn twice has two passes
        for position, number in sorted(epoch, key=lambda draw: draw[1]):
            assert number == before[position]
            before[position] += 1


def test_draws_depend_on_seed_epoch_and_ids_alone() -> None:
    split = noise((40, 6))
    plain = torch.cat(epoch_batches(split, 10, seed=1, epoch=3))
    assert torch.equal(plain[:, 0], random_order(1, 3, split.index, Stream.TRAINING_ORDER))
    first = balanced_draws(split, seed=1, epoch=3)
    torch.manual_seed(99)
    assert torch.equal(balanced_draws(split, seed=1, epoch=3), first)
    assert not torch.equal(balanced_draws(split, seed=2, epoch=3), first)
    assert not torch.equal(balanced_draws(split, seed=1, epoch=4), first)
    moved = torch.randperm(46)
    again = balanced_draws(split.subset(moved), seed=1, epoch=3)
    assert torch.equal(moved[again[:, 0]], first[:, 0])
    assert torch.equal(again[:, 1], first[:, 1])


def test_the_order_mixes_the_classes() -> None:
    split = noise((900, 100))
    labels = split.labels[balanced_draws(split, seed=0, epoch=0)[:, 0]]
    assert all(30 < int(part.sum()) < 70 for part in torch.split(labels, 100))  # 50 expected, std 5


def test_an_image_drawn_twice_in_an_epoch_is_augmented_in_two_ways() -> None:
    split, config = noise((62, 2), size=32), TrainConfig(crop_px=4, flip="alternating", balance=True)
    batches = epoch_batches(split, 16, seed=0, epoch=0, balance=True)
    drawn = torch.cat(batches)
    augmented = torch.cat([images for images, _ in augmented_batches(split, batches, config)])
    rare = (split.labels == 1).nonzero().flatten()[0]
    versions = augmented[drawn[:, 0] == rare]
    assert len(versions) == 16
    assert len({version.numpy().tobytes() for version in versions}) >= 14  # of 2 x 81, a coincidence may happen
    for at in (0, 5):  # each is that of an image alone whose epoch is the pass
        position, number = drawn[drawn[:, 0] == rare][at].tolist()
        alone = augment_images(split.images[[position]], split.index[[position]], config, number)
        assert torch.equal(alone[0], versions[at])


def test_alternating_flips_alternate_from_draw_to_draw() -> None:
    split, config = noise((14, 2)), TrainConfig(crop_px=0, flip="alternating")
    rare = (split.labels == 1).nonzero().flatten()[0]
    drawn = torch.cat([balanced_draws(split, seed=0, epoch=epoch) for epoch in range(3)])
    passes = drawn[drawn[:, 0] == rare][:, 1].sort().values
    images = split.images[rare].expand(len(passes), -1, -1, -1)
    flipped = augment_images(images, split.index[rare].expand(len(passes)), config, passes)
    is_mirrored = [torch.equal(image, split.images[rare].flip(2)) for image in flipped]
    assert is_mirrored in ([bool(at % 2) for at in range(12)], [not at % 2 for at in range(12)])


@pytest.fixture(scope="module")
def uneven(small_shapes: Dataset) -> Dataset:
    """The first class has its 20 images, and the last ones have one or two."""
    split = small_shapes.train
    kept = [
        position
        for label in range(10)
        for position in (split.labels == label).nonzero().flatten()[: max(1, 20 - 4 * label)].tolist()
    ]
    return Dataset("uneven", {"train": split.subset(torch.tensor(kept)), "test": small_shapes.test}, split.classes)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_an_interrupted_balanced_run_equals_an_uninterrupted_one(
    steps: int, uneven: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.replace(balance=True, batch_size=20)
    whole = train(uneven, config, out=tmp_path / "whole")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            interrupt_after(steps, patched, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                train(uneven, config, out=tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    run = resume(tmp_path / "run", dataset=uneven)
    assert same_weights(run, whole)
    assert without_times(run) == without_times(whole)
    assert read_json(run.config)["config"]["balance"] is True


def test_uneven_classes_are_reported_once_and_not_with_balance(
    uneven: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    plain, balanced = list[str](), list[str]()
    config = small_config.replace(epochs=1, peak_learning_rate=0)
    run = train(uneven, config, out=tmp_path / "plain", log=plain.append)
    train(uneven, config.replace(balance=True), out=tmp_path / "balanced", log=balanced.append)
    warning = (
        "circle has 20 training images, 20.0 times as many as pentagon with 1: --balance draws every class equally "
        "often in training"
    )
    assert plain.count(warning) == 1
    assert warning not in balanced
    # At a learning rate of 0 nothing is learned: both say so, each with its own advice.
    largest = max(uneven.test.per_class.items(), key=lambda item: item[1])
    outcome = read_json(run.training)
    assert outcome["is_better_than_largest_class"] is False
    assert (outcome["largest_class"], outcome["largest_class_share"]) == (largest[0], largest[1] / 70)
    accuracy = outcome["test_accuracy"]
    line = f"test accuracy {accuracy:.2%} is no better than always answering {largest[0]}, which is right on"
    assert [message for message in plain if message.startswith(line) and "try --balance, more --epochs" in message]
    assert "see the balanced accuracy" in balanced[-1]


@pytest.mark.parametrize(
    ("counts", "is_reported"),
    [((50, 10), True), ((49, 10), False), ((50, 0, 11), False), ((0, 5, 1), True), ((9,), True)],
)
def test_five_times_as_many_images_are_reported(counts: tuple[int, ...], is_reported: bool) -> None:
    assert bool(describe_imbalance(noise(counts))) == is_reported


@pytest.mark.parametrize("counts", [(60, 40), (95, 5), (7, 3), (4, 4), (333, 333, 334)])
def test_better_than_the_largest_class_is_above_it_by_the_wilson_interval(counts: tuple[int, ...]) -> None:
    split, n = noise(counts), sum(counts)
    answers = []
    for correct in range(n + 1):
        low, _ = wilson_interval(correct, n) or (0, 0)
        found = compare_with_largest_class(correct / n, split)
        assert found["is_better_than_largest_class"] == (low > max(counts) / n)
        answers.append(found["is_better_than_largest_class"])
    assert not answers[0]
    assert answers == sorted(answers)


def test_without_images_nothing_is_compared() -> None:
    found = compare_with_largest_class(None, noise((1,)).subset(torch.zeros(0, dtype=torch.int64)))
    assert found == {"largest_class": None, "largest_class_share": None, "is_better_than_largest_class": None}


def test_two_processes_train_as_one_on_balanced_epochs(tmp_path: Path) -> None:
    from PIL import Image
    from safetensors.torch import load_file

    from tests.training.launching import NETWORKS, settings

    (tmp_path / "networks.py").write_text(NETWORKS)
    for split, counts in (("train", (40, 6)), ("test", (8, 8))):
        for number, (name, n) in enumerate(zip(("dark", "bright"), counts, strict=True)):
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for at in range(n):
                pixels = torch.randint(0, 100, (16, 16, 3)) + 100 * number
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(tmp_path / f"pictures/{split}/{name}/{at}.png")
    arguments = [*settings("plain", optimizer="muon"), "--balance"]
    one, two = (train_as(tmp_path, count, f"balanced{count}", *arguments) for count in (1, 2))
    ours, theirs = (load_file(run / "model.safetensors") for run in (one, two))
    for name, weights in ours.items():
        torch.testing.assert_close(weights, theirs[name], atol=1e-5, rtol=1e-4)
    assert [line["training_accuracy"] for line in history(one)] == [line["training_accuracy"] for line in history(two)]
