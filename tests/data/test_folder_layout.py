"""Folders as people have them: which are splits, which are classes, and what is asked for instead of guessed."""

from pathlib import Path

import pytest

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.data.split_names import splits_in
from visionlib.errors import DataError

PICTURES = [containers.encode(image) for image in containers.draw_noise(3, 4, seed=1).images]


def make(home: Path, *folders: str, count: int = 2) -> Path:
    """Put different pictures into each folder."""
    for number, folder in enumerate(folders):
        (home / folder).mkdir(parents=True, exist_ok=True)
        for copy in range(count):
            (home / folder / f"{copy}.png").write_bytes(PICTURES[(number * count + copy) % len(PICTURES)])
    return home


def both(*splits: str) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in ("cat", "dog")]


@pytest.mark.parametrize(
    ("train", "test", "validation"),
    [
        ("Train", "Test", None),
        ("TRAIN", "TEST", "VAL"),
        ("Training", "Testing", None),
        ("train", "Test", None),
        ("train", "eval", "dev"),
        ("training", "evaluation", "Valid"),
        ("seg_train/seg_train", "seg_test/seg_test", None),
        ("archive/train", "archive/test", "archive/val"),
        ("data/archive/Training", "data/archive/Testing", None),
        ("images/train", "images/test", None),
        ("train/images", "test/images", "valid/images"),
        ("my-train", "my-test", None),
        ("train 1", "test 2", None),
    ],
)
def test_splits_in_any_case_by_any_usual_word(train: str, test: str, validation: str | None, tmp_path: Path) -> None:
    homes = [home for home in (train, test, validation) if home]
    dataset = load_dataset(make(tmp_path, *both(*homes)))
    assert dataset.classes == ("cat", "dog")
    expected = {"train", "test"} | ({"validation"} if validation else set())
    assert {name: len(split) for name, split in dataset.splits.items()} == dict.fromkeys(expected, 4)
    (told,) = dataset.warnings
    assert "splits were taken by the names of folders: " in told
    assert f"train from {train}" in told
    assert f"test from {test}" in told


def test_usual_names_need_no_telling(tmp_path: Path) -> None:
    assert load_dataset(make(tmp_path, *both("train", "test", "val"))).warnings == ()


def test_a_validation_split_without_a_test_split(tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path, *both("train", "val")))
    assert sorted(dataset.splits) == ["test", "train", "validation"]
    assert (len(dataset.split("validation")), len(dataset.train) + len(dataset.test)) == (4, 4)
    assert dataset.warnings[-1].startswith("there is no test split")


@pytest.mark.parametrize("home", ["images", "archive", "archive/images"])
def test_classes_in_a_single_folder(home: str, tmp_path: Path) -> None:
    dataset = load_dataset(make(tmp_path, *both(home)))
    assert dataset.classes == ("cat", "dog")
    assert dataset.warnings[0] == f"the folders of {tmp_path / home} were taken as classes"


def test_classes_that_are_called_like_splits(tmp_path: Path) -> None:
    """Pictures of vehicles, and of laboratory ware."""
    dataset = load_dataset(make(tmp_path, "car", "train", "test_tube"))
    assert dataset.classes == ("car", "test_tube", "train")
    assert dataset.warnings[0] == f"{tmp_path / 'train'} was taken as a class: it holds pictures, and no class folders"


def test_classes_with_folders_below_them(tmp_path: Path) -> None:
    assert load_dataset(make(tmp_path, "cat/tabby", "cat/black", "dog/poodle")).classes == ("cat", "dog")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    make(tmp_path, *both("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred")
    warnings = load_dataset(tmp_path).warnings
    assert f"{tmp_path / 'seg_pred'} was left out: its name tells no split" in warnings
    unlabelled = make(tmp_path / "other", *both("train"), "test")
    dataset = load_dataset(unlabelled)
    assert f"{unlabelled / 'test'} was left out: its pictures are in no class folder" in dataset.warnings
    assert (len(dataset.train), len(dataset.test)) == (2, 2)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (both("val", "test"), "has test, val, and no folder to train on; call one train"),
        (both("Test"), "has Test, and no folder to train on; call one train"),
        (both("Train", "training", "test"), "has two folders for train, Train and training; join them, or rename one"),
        (both("train", "val", "dev"), "has two folders for validation, "),
        (both("train_test", "val"), "train_test: tells two splits by its name, test and train; rename it"),
        (["train/steam", "train/diesel", "car", "ship"], "has train, which looks like a split, beside car, ship; move"),
        (["train", "test"], "has pictures in test, train without class folders; put them into one per class"),
        (both("Day 1", "Day 2"), "has Day 1, Day 2, each with folders cat, dog, and may hold splits or classes; call"),
    ],
)
def test_what_is_ambiguous_is_asked_for(folders: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(make(tmp_path, *folders))


def test_pictures_in_linked_folders_below_a_class(tmp_path: Path) -> None:
    home = make(tmp_path / "home", *both("train", "test"))
    elsewhere = make(tmp_path / "elsewhere", "more", "whole/deep")
    (home / "train" / "cat" / "linked").symlink_to(elsewhere / "more")
    (home / "train" / "bird").symlink_to(elsewhere / "whole")
    assert load_dataset(home).train.per_class == {"bird": 2, "cat": 4, "dog": 2}


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    home = make(tmp_path, *both("train", "test"))
    (home / "train" / "cat" / "up").symlink_to(home / "train" / "cat")
    (home / "train" / "dog" / "a").mkdir()
    (home / "train" / "dog" / "a" / "back").symlink_to(home / "train" / "dog")
    (home / "train" / "dog" / "itself").symlink_to(home / "train" / "dog" / "itself")
    assert load_dataset(home).train.per_class == {"cat": 2, "dog": 2}


def test_a_link_to_another_class_of_the_data_takes_its_pictures_once(tmp_path: Path) -> None:
    home = make(tmp_path, *both("train", "test"), "train/dog/deep")
    (home / "train" / "dog" / "again").symlink_to(home / "train" / "dog" / "deep")
    assert load_dataset(home).train.per_class == {"cat": 2, "dog": 4}


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("Train-00000-of-00001.parquet", {"train"}),
        ("seg_test", {"test"}),
        ("0000_dev", {"validation"}),
        ("train1", {"train"}),
        ("training.set", {"train"}),
        ("trainer", set()),
        ("contest", set()),
        ("val2017 test", {"validation", "test"}),
        ("\N{LATIN SMALL LETTER O WITH DIAERESIS}test", set()),
    ],
)
def test_words_stand_alone(name: str, splits: set[str]) -> None:
    assert splits_in(name) == splits
