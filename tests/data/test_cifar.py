import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.errors import DataError


@pytest.fixture
def splits() -> containers.Splits:
    return {"train": containers.draw_noise(3, 1, seed=1), "test": containers.draw_noise(3, 1, seed=2)}


def test_a_record_is_label_then_red_green_blue_row_by_row(tmp_path: Path, splits: containers.Splits) -> None:
    folder = containers.write_cifar_binary(splits, tmp_path)
    record = bytes([9]) + bytes(range(256)) * 12
    (folder / "test_batch.bin").write_bytes(record)
    test = load_dataset(folder).test
    assert test.labels.tolist() == [9]
    assert test.images[0, 0, 1, 5] == 32 + 5
    assert test.images[0, 1, 0, 7] == 7
    assert test.images[0, 2, 31, 31] == 255


def test_an_empty_batch_is_no_image(tmp_path: Path, splits: containers.Splits) -> None:
    folder = containers.write_cifar_binary(splits, tmp_path)
    (folder / "test_batch.bin").write_bytes(b"")
    assert len(load_dataset(folder).test) == 0


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "data_batch_3.bin",
            b"\x01" * 5000,
            r"data_batch_3\.bin: has 5,000 bytes, no whole number of 3073-byte records",
        ),
        ("batches.meta.txt", b"\n\n", r"batches\.meta\.txt: holds no class name"),
        ("data_batch_2.bin", b"\x0b" + b"\x00" * 3072, r"labels: found 0\.\.11 with 10 class names"),
    ],
)
def test_damaged_binary_batches_are_refused(
    tmp_path: Path, splits: containers.Splits, file: str, content: bytes, message: str
) -> None:
    folder = containers.write_cifar_binary(splits, tmp_path)
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"labels": [1]}, "holds no 'data'"),
        ({"data": np.zeros((1, 3072), np.uint8)}, "holds no 'labels'"),
        ({"data": np.zeros((1, 3000), np.uint8), "labels": [1]}, "data is no array of rows of 3072 bytes"),
        ({"data": [1, 2], "labels": [1]}, "data is no array of rows"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "has 2 images and 1 labels"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "labels is no list of class numbers"),
        ([1, 2, 3], "holds no 'data'"),
    ],
)
def test_damaged_python_batches_are_refused(
    tmp_path: Path, splits: containers.Splits, batch: object, message: str
) -> None:
    folder = containers.write_cifar_python(splits, tmp_path)
    (folder / "test_batch").write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match=f"test_batch: {message}"):
        load_dataset(folder)


def test_a_missing_batch_is_named(tmp_path: Path, splits: containers.Splits) -> None:
    folder = containers.write_cifar_python(splits, tmp_path)
    (folder / "data_batch_4").unlink()
    with pytest.raises(DataError, match="lacks data_batch_4; get it again"):
        load_dataset(folder)


def test_an_archive_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "stuff").mkdir()
    (tmp_path / "stuff" / "notes.txt").touch()
    with pytest.raises(DataError, match="holds none of CIFAR's official layouts"):
        load_dataset(containers.pack(tmp_path / "stuff", tmp_path / "stuff.tar.gz"))


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_archive_is_told(tmp_path: Path, splits: containers.Splits, damage: str) -> None:
    archive = containers.pack(containers.write_cifar_binary(splits, tmp_path), tmp_path / "c.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no archive at all")
    with pytest.raises(DataError, match=r"c\.tar\.gz: is no whole tar archive .*; get it again"):
        load_dataset(archive)


def _member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, "/etc/passwd"
    return member


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as tar:
        tar.addfile(_member("cifar-10-batches-bin/test_batch.bin", kind=tarfile.SYMTYPE))
    with pytest.raises(DataError, match=r"test_batch\.bin: is a link or a device, not a file"):
        load_dataset(tmp_path / "c.tar.gz")


def test_a_second_copy_of_a_member_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as tar:
        for folder in ("a", "b"):
            tar.addfile(_member(f"{folder}/test_batch.bin", size=3), io.BytesIO(b"abc"))
    with pytest.raises(DataError, match=r"b/test_batch\.bin: is there twice"):
        load_dataset(tmp_path / "c.tar.gz")


def test_a_member_that_claims_to_be_a_giant_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = _member("a/train.bin", size=2**40).tobuf()
    (tmp_path / "c.tar").write_bytes(header + b"\x00" * 1024)
    with pytest.raises(DataError, match=r"claims 1,099,511,627,776 bytes, more than any batch has"):
        load_dataset(tmp_path / "c.tar")


def test_nothing_is_extracted(tmp_path: Path, splits: containers.Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = containers.pack(containers.write_cifar_binary(splits, tmp_path / "source"), tmp_path / "c.tar.gz")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    load_dataset(archive)
    assert list((tmp_path / "here").iterdir()) == []
