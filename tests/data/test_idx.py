import gzip
from pathlib import Path

import pytest

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    splits = {"train": containers.draw_noise(1, 2, seed=1), "test": containers.draw_noise(1, 1, seed=2)}
    return containers.write_idx(splits, tmp_path / "idx")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"\x00\x00\x08", "is no IDX file of bytes in 3 dimensions"),
        ("train-labels-idx1-ubyte", b"\x00\x00\x0d\x01" + b"\x00" * 8, "is no IDX file of bytes in 1 dimensions"),
        (
            "train-labels-idx1-ubyte",
            b"\x00\x00\x08\x01\x00\x00\x00\x14" + b"\x01" * 19,
            "holds 19 bytes and its header says 20 = 20; get it again",
        ),
        (
            "train-labels-idx1-ubyte",
            b"\x00\x00\x08\x01\x00\x00\x00\x14" + b"\x01" * 21,
            "holds more than 20 bytes and its header says 20 = 20; get it again",
        ),
        (
            "train-images-idx3-ubyte",
            b"\x00\x00\x08\x03" + b"\xff" * 12,
            "its header says .* bytes, more than the limit of 4,294,967,296; name a smaller set",
        ),
        (
            "train-images-idx3-ubyte",
            b"\x00\x00\x08\x03" + b"\x00" * 4 + b"\xff" * 8,
            "its header says 0 x 4294967295 x 4294967295 = 0 bytes, more than the limit",
        ),
        (
            "train-images-idx3-ubyte",
            b"\x00\x00\x08\x03" + b"\x00\x00\x00\x02" * 2 + b"\x00" * 4,
            "its header says 2 x 2 x 0 = 0 bytes, images without a pixel; get it again",
        ),
        ("t10k-labels-idx1-ubyte", b"\x00\x00\x08\x01\x00\x00\x00\x01\x01", "test has 10 images and 1 labels"),
    ],
)
def test_damaged_files_are_refused(folder: Path, file: str, content: bytes, message: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset(folder)


def test_damaged_gzip_is_refused(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").rename(folder / "train-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: cannot be read .*; get it again"):
        load_dataset(folder)


def test_gzip_whose_checksum_does_not_fit_is_refused(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte"
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[-5] ^= 1
    path.with_suffix(".gz").write_bytes(packed)
    path.unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: cannot be read .*; get it again"):
        load_dataset(folder)


def test_a_label_without_a_name_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONLIB_DATA", str(tmp_path / "data"))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x0a" + b"\x0a" * 10)
    (tmp_path / "data").mkdir()
    folder.rename(tmp_path / "data" / "fashion-mnist")
    with pytest.raises(DataError, match="test has label 10 with 10 classes; get the files again"):
        load_dataset("fashion-mnist")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz; put it there"):
        load_dataset(folder)


def test_without_test_files_a_part_is_held_out(folder: Path) -> None:
    for path in folder.glob("t10k-*"):
        path.unlink()
    dataset = load_dataset(folder, holdout_fraction=0.5)
    assert (len(dataset.train), len(dataset.test)) == (10, 10)


def test_fashion_mnist_by_name_and_where_to_put_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISIONLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("visionlib.data.load._DEBIAN_FASHION_MNIST", tmp_path / "absent")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="fashion-mnist: its four IDX files are not on this machine; get them from"):
        load_dataset("fashion-mnist")
    (tmp_path / "data").mkdir()
    folder.rename(tmp_path / "data" / "fashion-mnist")
    assert load_dataset("fashion-mnist").classes[9] == "Ankle boot"
