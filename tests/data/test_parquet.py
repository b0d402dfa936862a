import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.errors import DataError

PICTURE = containers.encode(containers.draw_noise(3, 1, seed=1).images[0])


def write(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_without_names_classes_are_numbers(tmp_path: Path) -> None:
    splits = {"train": containers.draw_noise(3, 1, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    dataset = load_dataset(containers.write_parquet(splits, tmp_path / "hub", with_names=False))
    assert dataset.classes == tuple("0123456789")


def test_files_in_the_subfolder_data_and_in_several_pieces(tmp_path: Path) -> None:
    split = containers.draw_noise(3, 2, seed=1)
    home = tmp_path / "hub" / "data"
    home.mkdir(parents=True)
    for piece, rows in enumerate((range(10), range(10, 20))):
        pictures: list[object] = [containers.encode(split.images[row]) for row in rows]
        labels: list[object] = [int(split.labels[row]) for row in rows]
        write(home / f"train-0000{piece}-of-00002.parquet", image=pictures, fine_label=labels)
    write(home / "validation-00000-of-00001.parquet", image=[PICTURE], fine_label=[9])
    write(home / "test-00000-of-00001.parquet", image=[PICTURE], fine_label=[9])
    dataset = load_dataset(tmp_path / "hub")
    assert dataset.train.content_hash == split.content_hash
    assert sorted(dataset.splits) == ["test", "train", "validation"]


def test_files_in_the_folder_of_a_configuration(tmp_path: Path) -> None:
    """As the hub lays `cifar10` out: a folder `plain_text` beside the card and nothing else."""
    for split in ("train", "test"):
        (tmp_path / "hub" / "plain_text").mkdir(parents=True, exist_ok=True)
        write(tmp_path / "hub" / "plain_text" / f"{split}-00000-of-00001.parquet", img=[PICTURE] * 2, label=[0, 1])
    assert len(load_dataset(tmp_path / "hub").test) == 2
    (tmp_path / "hub" / "other").mkdir()
    write(tmp_path / "hub" / "other" / "train-00000-of-00001.parquet", img=[PICTURE], label=[0])
    with pytest.raises(DataError, match="holds no dataset that visionlib can read"):
        load_dataset(tmp_path / "hub")


def write_splits(home: Path, **columns_of: dict[str, list[object]]) -> Path:
    for name, columns in columns_of.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, **columns)
    return home


TWENTY: dict[str, list[object]] = {"image": [PICTURE] * 20, "label": [0, 1] * 10}
SIX: dict[str, list[object]] = {"image": [PICTURE] * 6, "label": [0, 1] * 3}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-0.parquet", "test-0.parquet"),
        ("pets_train.parquet", "pets_test.parquet"),
        ("cifar10-train.parquet", "cifar10-Test.parquet"),
        ("0000_train.parquet", "0000_test.parquet"),
        ("training.parquet", "testing.parquet"),
        ("TRAIN.parquet", "eval.parquet"),
        ("train1.parquet", "my evaluation set.parquet"),
        ("train/part-0.parquet", "test/part-0.parquet"),
        ("pets-train/0.parquet", "pets-test/0.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train.parquet", "test/0000.parquet"),
    ],
)
def test_splits_are_told_by_names_of_files_and_folders(tmp_path: Path, train: str, test: str) -> None:
    dataset = load_dataset(write_splits(tmp_path / "learn to train", **{train: TWENTY, test: SIX}))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 20, "test": 6}
    quiet = {"train-0.parquet", "training.parquet", "data/train-00000-of-00001.parquet"}
    assert any(f"train from {train}" in warning for warning in dataset.warnings) == (train not in quiet)


def test_files_without_a_split_in_their_names_are_the_training_split_and_it_is_told(tmp_path: Path) -> None:
    dataset = load_dataset(write_splits(tmp_path, **{"0000.parquet": TWENTY, "trainer.parquet": SIX}))
    assert len(dataset.train) + len(dataset.test) == 26
    assert dataset.warnings[0] == f"{tmp_path}: all 2 files were taken as train: no name tells a split"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("pets.parquet", "test.parquet"),
            r"pets.parquet: tells no split by its name, and test.parquet does; put train",
        ),
        (
            ("train_test.parquet", "val.parquet"),
            "train_test.parquet: tells two splits by its name, test and train; rename",
        ),
        (("test/train-0.parquet", "train/train-0.parquet"), "tells two splits by its name, test and train"),
        (("a/train.parquet", "b/test.parquet"), "parquet files are in a, b; give the path of one of them"),
    ],
)
def test_names_that_leave_the_split_open_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(write_splits(tmp_path, **dict.fromkeys(names, TWENTY)))


def write_named(path: Path, names: list[str], labels: list[int]) -> None:
    """Write a file with pictures that differ by class name: the red of `cat` is 10, of `dog` 20, of `emu` 30."""
    red = {"cat": 10, "dog": 20, "emu": 30}
    pictures = [containers.encode(torch.full((3, 8, 8), red[names[label]], dtype=torch.uint8)) for label in labels]
    table = pa.table({"image": pictures, "label": labels})
    metadata = json.dumps({"info": {"features": {"label": {"names": names}}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    write_named(tmp_path / "train-0.parquet", ["cat", "dog"], [0, 1, 1])
    write_named(tmp_path / "train-1.parquet", ["emu", "dog", "cat"], [0, 1, 2])
    write_named(tmp_path / "test-0.parquet", ["dog", "cat"], [0, 0, 1])
    write_named(tmp_path / "validation-0.parquet", ["emu", "yak"], [0])
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("cat", "dog", "emu")
    for split in dataset.splits.values():
        assert torch.equal(split.images[:, 0, 0, 0], 10 * (split.labels + 1))
    assert dataset.train.labels.tolist() == [0, 1, 1, 2, 1, 0]
    assert dataset.test.per_class == {"cat": 1, "dog": 2, "emu": 0}


def test_a_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    write_named(tmp_path / "train.parquet", ["cat", "dog"], [0, 1])
    write_named(tmp_path / "test.parquet", ["cat", "emu"], [0, 1])
    with pytest.raises(
        DataError, match=r"test.parquet: row 1: has a class that train lacks: emu; rename it, or add it"
    ):
        load_dataset(tmp_path)


def test_a_folder_whose_name_looks_like_a_column_adds_none(tmp_path: Path) -> None:
    (tmp_path / "label=3").mkdir()
    path = write(tmp_path / "label=3" / "train.parquet", img=[PICTURE] * 4, label=[0, 1, 0, 1])
    assert load_dataset(path).train.per_class == {"0": 1, "1": 1}


def test_a_named_pipe_does_not_keep_us_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="holds no dataset that visionlib can read"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_pictures_in_structs_of_either_width(tmp_path: Path, kind: pa.DataType) -> None:
    images = pa.array([{"bytes": PICTURE}] * 4, pa.struct([("bytes", kind)]))
    pq.write_table(pa.table({"img": images, "label": pa.array([0, 1, 0, 1])}), tmp_path / "train.parquet")
    assert len(load_dataset(tmp_path / "train.parquet").train) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        "[" * 100_000,
        '{"info": {"features": {"label": {"names": {"a": "cat"}}}}}',
        '{"info": {"features": {"label": {"names": 3}}}}',
    ],
)
def test_metadata_without_sense_is_passed_over(tmp_path: Path, metadata: str) -> None:
    table = pa.table({"img": [PICTURE] * 4, "label": [0, 1, 0, 1]}).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, tmp_path / "train.parquet")
    assert load_dataset(tmp_path / "train.parquet").classes == ("0", "1")


def test_files_with_damage_anywhere_either_read_or_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", img=[PICTURE] * 4, label=[0, 1, 0, 1])
    original = path.read_bytes()
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(original)
        for _ in range(dice.randint(1, 3)):
            # In the footer, which tells where everything lies and of what type it is, or anywhere.
            content[dice.randrange(len(content) - 1500 if dice.random() < 0.7 else 0, len(content))] = dice.randrange(
                256
            )
        path.write_bytes(content)
        try:
            load_dataset(path)
        except DataError:
            refused += 1
    assert refused > 100


def test_a_single_file_is_parted_by_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "pictures.parquet", img=[PICTURE] * 20, label=[0, 1] * 10)
    dataset = load_dataset(path, holdout_fraction=0.2)
    assert (len(dataset.train), len(dataset.test)) == (16, 4)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [PICTURE], "label": [0]}, "has no column img or image, only picture, label; rename the column"),
        ({"img": [PICTURE], "class": [0]}, "has no column label or fine_label"),
        ({"img": [PICTURE, None], "label": [0, 0]}, "row 1: names a picture and does not hold it"),
        ({"img": [{"path": "a.png"}], "label": [0]}, "has pictures without a field 'bytes'"),
        ({"img": ["a.png"], "label": [0]}, "has pictures of type string; embed them as bytes"),
        ({"img": [PICTURE], "label": ["cat"]}, "has labels of type string"),
        ({"img": [PICTURE], "label": [-1]}, "row 0: has label -1 with 1 classes"),
        ({"img": [PICTURE, PICTURE], "label": [0, None]}, "row 1: has label None"),
        ({"img": [PICTURE[:100]], "label": [0]}, "row 0: is no whole PNG, JPEG, WebP or BMP picture"),
    ],
)
def test_files_that_cannot_be_read_right_are_refused(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    path = write(tmp_path / "train-00000-of-00001.parquet", **columns)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


def test_a_damaged_or_empty_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"train\.parquet: is no whole parquet file .*; get it again"):
        load_dataset(path)
    columns = {"img": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match="holds no row"):
        load_dataset(path)
