"""Duplicates that were planted are found, and nothing else is."""

import csv
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from visionlib.data import Dataset, ImageSplit, load_shapes
from visionlib.errors import ConfigError
from visionlib.inspection.duplicate_picture import choose_pairs, describe_duplicates, draw_duplicates
from visionlib.inspection.duplicate_search import find_duplicates
from visionlib.inspection.duplicates import MIN_THUMBNAIL_CORRELATION, Duplicates, write_duplicates
from visionlib.inspection.similarity import correlate_pixels, find_similar, make_thumbnails

CLASSES = ("=a", "b")


def textured(n: int, *, side_px: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Random pictures as photographs are: large areas of colour, finer structure in brightness; none like another."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        strength
        * torch.nn.functional.interpolate(
            torch.randn(n, colours, side, side, generator=generator), size=side_px, mode="bilinear"
        )
        for side, strength, colours in ((2, 70, channels), (4, 40, 1), (16, 30, 1))
    ]
    mixed = sum(parts, torch.zeros(())) + 128
    return mixed.clamp(0, 255).to(torch.uint8)


def make_dataset(train: torch.Tensor, test: torch.Tensor) -> Dataset:
    splits = {
        name: ImageSplit(images, torch.arange(len(images)) % 2, CLASSES, torch.arange(len(images)) + 100)
        for name, images in (("train", train), ("test", test))
    }
    return Dataset("planted", splits, CLASSES)


def compress(image: torch.Tensor) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=90)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "compressed": compress,
    "shifted": lambda image: torch.roll(image, (1, -1), (1, 2)),
    "brighter": lambda image: (image.float() * 1.1 + 10).clamp(0, 255).to(torch.uint8),
    "flatter": lambda image: (image.float() * 0.6 + 40).to(torch.uint8),
    "noisy": lambda image: (
        (image.float() + 5 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1)))
        .clamp(0, 255)
        .to(torch.uint8)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_planted_near_duplicate_is_found_and_nothing_else(change: str, is_mirrored: bool) -> None:
    train, test = textured(60), textured(40, seed=1)
    changed = CHANGES[change](train[7])
    test[3] = changed.flip(2) if is_mirrored else changed
    found = find_duplicates(make_dataset(train, test))
    (pair,) = found.pairs
    assert pair.kind == ("mirrored" if is_mirrored else "near")
    assert (pair.splits, pair.positions, pair.index) == (("train", "test"), (7, 3), (107, 103))
    assert pair.labels == ("b", "b")
    assert 0.85 <= pair.correlation <= 1.0001
    assert found.between("test", "train") == (pair,)
    assert found.between("train", "train") == ()
    assert (found.count_images("test", "train"), found.count_images("train", "test")) == (1, 1)


def test_equal_pixels_are_exact_duplicates_within_and_between_splits_by_hand() -> None:
    train, test = textured(20), textured(10, seed=1)
    train[4] = train[15] = train[2]
    test[6] = train[2]
    test[1] = test[0]
    found = find_duplicates(make_dataset(train, test), near=False)
    assert [(pair.splits, pair.positions) for pair in found.pairs] == [
        (("train", "train"), (2, 4)),
        (("train", "train"), (2, 15)),
        (("train", "test"), (2, 6)),
        (("test", "test"), (0, 1)),
    ]
    assert [pair.has_two_labels for pair in found.pairs] == [False, True, False, True]
    assert found.counts() == [
        {"splits": ["train", "train"], "exact": 2, "near": 0, "mirrored": 0, "with_two_labels": 1, "images": [3, 3]},
        {"splits": ["test", "test"], "exact": 1, "near": 0, "mirrored": 0, "with_two_labels": 1, "images": [2, 2]},
        {"splits": ["train", "test"], "exact": 1, "near": 0, "mirrored": 0, "with_two_labels": 0, "images": [1, 1]},
    ]
    # Looking for near ones as well names none of these twice, and pairs that the group implies as near ones at most.
    both = find_duplicates(make_dataset(train, test))
    assert both.pairs[:4] == found.pairs
    assert {(pair.splits, pair.positions) for pair in both.pairs[4:]} == {
        (("train", "train"), (4, 15)),
        (("train", "test"), (4, 6)),
        (("train", "test"), (15, 6)),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_candidates_and_correlations_are_those_of_a_slow_loop(channels: int) -> None:
    images = textured(30, channels=channels)
    images[5] = images[4].roll(1, 1)
    images[9] = images[8].flip(2)
    thumbnails, mirrored = make_thumbnails(images), make_thumbnails(images.flip(3))
    for partners in (thumbnails, mirrored):
        found = set(map(tuple, find_similar(thumbnails, partners, 0.2, lambda done, note="": None).tolist()))
        slow = {
            (i, j)
            for i, j in itertools.combinations(range(30), 2)
            if float(np.dot(thumbnails[i].double().numpy(), partners[j].double().numpy())) >= 0.2
        }
        assert found == slow
        assert len(found) > 5
    pairs = torch.tensor([(4, 5), (0, 1), (20, 3)])
    correlations, _ = correlate_pixels(images, pairs, is_mirrored=False)
    for (i, j), fast in zip(pairs.tolist(), correlations.tolist(), strict=True):
        first = images[i, :, 2:-2, 2:-2].double().flatten().numpy()
        slow_best = max(
            np.corrcoef(first, images[j, :, 2 + y : 30 + y, 2 + x : 30 + x].double().flatten().numpy())[0, 1]
            for y in range(-2, 3)
            for x in range(-2, 3)
        )
        assert fast == pytest.approx(slow_best, abs=1e-5)
    assert correlations[0] == pytest.approx(1, abs=1e-5)


def test_constant_images_are_exact_duplicates_alone() -> None:
    flat = torch.full((3, 3, 32, 32), 7, dtype=torch.uint8)
    flat[2] = 8
    found = find_duplicates(make_dataset(flat, textured(2)))
    assert [(pair.kind, pair.positions) for pair in found.pairs] == [("exact", (0, 1))]


def test_pictures_of_the_same_kind_are_no_duplicates() -> None:
    dataset = load_shapes(n_train=400, n_test=100)
    assert len(find_duplicates(dataset).pairs) <= 2


def test_no_images_have_no_duplicates() -> None:
    none = textured(0)
    assert find_duplicates(make_dataset(none, none)).pairs == ()


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(ConfigError, match="planted: has splits of 3 x 16 x 16 and 3 x 32 x 32, which near duplicates"):
        find_duplicates(make_dataset(textured(3), textured(3, side_px=16)))
    assert find_duplicates(make_dataset(textured(3), textured(3, side_px=16)), near=False).pairs == ()
    with pytest.raises(ConfigError, match="planted: has images below 8 pixels; look for exact duplicates alone"):
        find_duplicates(make_dataset(textured(3, side_px=4), textured(3, side_px=4)))


@pytest.fixture
def planted() -> tuple[Duplicates, Dataset]:
    train, test = textured(20), textured(10, seed=1)
    train[5], test[4], test[7] = train[2], compress(train[9]), train[0]
    dataset = make_dataset(train, test)
    return find_duplicates(dataset), dataset


def test_a_table_that_spreadsheets_can_be_trusted_with(planted: tuple[Duplicates, Dataset], tmp_path: Path) -> None:
    write_duplicates(planted[0], tmp_path / "pairs.csv")
    with (tmp_path / "pairs.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:5] == ["kind", "split", "index", "source", "label"]
    assert rows[0][:9] == ["exact", "train", "100", "", "'=a", "test", "107", "", "b"]
    assert len(rows) == 3


def test_a_picture_shows_what_matters_first(planted: tuple[Duplicates, Dataset]) -> None:
    duplicates, dataset = planted
    first = choose_pairs(duplicates.pairs, 2)
    assert [pair.has_two_labels for pair in first] == [True, True]
    told = describe_duplicates(duplicates)
    assert told == (
        "3 pairs of exact, near and mirrored duplicates: 1 within train, 2 between train and test; "
        "3 of them with two labels."
    )
    figure = draw_duplicates(duplicates, dataset)
    assert len(figure.axes[0].images) == 6
    assert draw_duplicates(Duplicates((), False, {}), dataset).axes[0].texts[0].get_text() == "No exact duplicates."


def test_the_record_tells_its_thresholds(planted: tuple[Duplicates, Dataset]) -> None:
    record = planted[0].to_dict()
    assert record["thresholds"]["thumbnails"] == MIN_THUMBNAIL_CORRELATION
    assert record["pairs"][0]["first"] == {
        "split": "train",
        "position": 0,
        "index": 100,
        "source": None,
        "label": "=a",
    }
    assert record["pairs"][0]["has_two_labels"] is True
