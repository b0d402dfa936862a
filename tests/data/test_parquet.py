import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
