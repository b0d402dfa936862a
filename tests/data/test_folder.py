import os
from pathlib import Path

import pytest
import torch

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.errors import DataError

PICTURES = containers.draw_noise(3, 1, seed=1).images


def put(path: Path, picture: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(containers.encode(PICTURES[picture]))


def test_classes_and_pictures_are_sorted_and_deeper_folders_count(tmp_path: Path) -> None:
    for name, picture in (("dog/b.png", 1), ("dog/a/z.PNG", 2), ("cat/1.png", 3), ("cat/.hidden.png", 4)):
        put(tmp_path / "train" / name, picture)
    put(tmp_path / "test" / "dog" / "x.png", 5)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert torch.equal(dataset.train.images, PICTURES[[3, 2, 1]])
    assert dataset.train.labels.tolist() == [0, 1, 1]
    assert dataset.test.per_class == {"cat": 0, "dog": 1}
    assert dataset.warnings == (f"{tmp_path / 'test' / 'cat'} holds no picture",)


def test_folders_per_class_alone_are_the_training_split(tmp_path: Path) -> None:
    for number in range(10):
        put(tmp_path / "cat" / f"{number}.png", number)
    dataset = load_dataset(tmp_path, holdout_fraction=0.3)
    assert (len(dataset.train), len(dataset.test)) == (7, 3)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_split_is_kept_under_one_name(tmp_path: Path, name: str) -> None:
    for split in ("train", "test", name):
        put(tmp_path / split / "cat" / "1.png")
    assert sorted(load_dataset(tmp_path).splits) == ["test", "train", "validation"]


def test_files_that_are_no_pictures_are_passed_over_and_counted(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split / "cat" / "1.png")
    for name in ("a.txt", "b.txt", "c.gif"):
        (tmp_path / "train" / "cat" / name).touch()
    warning, _ = load_dataset(tmp_path).warnings
    assert warning.endswith("3 files that are not pictures were skipped (2 .txt, 1 .gif)")


def test_a_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "train" / "cat" / "1.png")
    put(tmp_path / "test" / "dgo" / "1.png")
    with pytest.raises(DataError, match="test: has a class that train lacks: dgo; rename it, or add it to train"):
        load_dataset(tmp_path)


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="train: holds no PNG, JPEG, WebP or BMP picture"):
        load_dataset(tmp_path)


def test_names_that_are_hard_to_write_are_only_names(tmp_path: Path) -> None:
    names = sorted(["<b>cat", "{{ dog }}", "Größe", "a b", "[red]x"])
    for name in names:
        for split in ("train", "test"):
            put(tmp_path / split / name / "1.png")
    assert list(load_dataset(tmp_path).classes) == names


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX's")
def test_links_to_nothing_and_pipes_are_left_out_with_a_warning(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        put(tmp_path / "train" / name / "a.png")
        put(tmp_path / "test" / name / "a.png")
    cat = tmp_path / "train" / "cat"
    (cat / "b.png").symlink_to(cat / "absent.png")
    (cat / "c.jpg").symlink_to(cat / "c.jpg")
    os.mkfifo(cat / "d.png")
    (cat / "e.png").mkdir()
    (cat / "note.txt").symlink_to(cat / "absent.txt")
    dataset = load_dataset(tmp_path)
    assert len(dataset.train) == 2
    left_out = "cat/b.png, cat/c.jpg, cat/d.png were left out: they are links to nothing, pipes or the like, no files"
    assert dataset.warnings == (f"{tmp_path / 'train'}: {left_out}",)


def test_one_class_alone_is_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split / "cat" / "a.png")
    warning = "all training images are of one class, cat: there is nothing to tell apart"
    assert load_dataset(tmp_path).warnings == (warning,)
    images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.ones(4, dtype=torch.int64)
    assert "all training images are of one class, 1: " in load_dataset((images, labels, images, labels)).warnings[-1]
