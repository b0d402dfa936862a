import gzip
import io
import pickle
import random
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
        (
            "data_batch_2.bin",
            b"\x0b" + b"\x00" * 3072,
            r"data_batch_2\.bin: has label 11 with 10 classes",
        ),
        ("batches.meta.txt", b"cat\n\xff\xfe\n", r"batches\.meta\.txt: has class names that are not UTF-8"),
        ("batches.meta.txt", b"cat\n" * 10, r"has 10 classes called 'cat'; give every class a name of its own"),
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
    with pytest.raises(DataError, match=r"test_batch\.bin: is a link, a device or sparse, not a plain file"):
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


def test_a_header_that_unpacks_to_a_giant_is_refused(tmp_path: Path) -> None:
    """An extended header is read whole by tarfile, whatever size it claims; packed zeros make it small on disk."""
    header = _member("././@PaxHeader", kind=tarfile.XHDTYPE, size=2**30).tobuf()
    with gzip.open(tmp_path / "c.tar.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(520):
            file.write(bytes(2**20))
    with pytest.raises(DataError, match=r"c\.tar\.gz: unpacks to more than 536,870,912 bytes"):
        load_dataset(tmp_path / "c.tar.gz")


def test_headers_upon_headers_are_refused(tmp_path: Path) -> None:
    """tarfile follows long names by calling itself; Python stops that in the end."""
    long_name = _member("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME, size=1).tobuf() + b"x" + bytes(511)
    (tmp_path / "c.tar").write_bytes(long_name * 5000 + bytes(1024))
    with pytest.raises(DataError, match=r"c\.tar: is no whole tar archive"):
        load_dataset(tmp_path / "c.tar")


def test_a_checksum_that_does_not_fit_is_noticed(tmp_path: Path, splits: containers.Splits) -> None:
    archive = containers.pack(containers.write_cifar_binary(splits, tmp_path), tmp_path / "c.tar.gz")
    content = bytearray(archive.read_bytes())
    content[-5] ^= 1  # of the four bytes of length and four of checksum that end a gzip file
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"c\.tar\.gz: is no whole tar archive .*; get it again"):
        load_dataset(archive)


def test_a_folder_that_is_called_like_a_batch_is_passed_over(tmp_path: Path, splits: containers.Splits) -> None:
    """As in cifar-100, whose archive may be packed so that `train` is a folder, too."""
    home = containers.write_cifar100_binary(splits, tmp_path)
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as tar:
        tar.addfile(_member("train", kind=tarfile.DIRTYPE))
        tar.addfile(_member("train.bin", kind=tarfile.DIRTYPE))
        tar.add(home, arcname="cifar-100-binary")
    assert len(load_dataset(tmp_path / "c.tar.gz").train) == 10


def test_archives_with_damage_anywhere_either_read_or_are_refused(tmp_path: Path, splits: containers.Splits) -> None:
    home = containers.write_cifar_binary(splits, tmp_path)
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        tar.add(home, arcname=home.name)
    original = (tmp_path / "whole.tar").read_bytes()
    headers = [at for at in range(0, len(original), 512) if original[at + 257 : at + 262] == b"ustar"]
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(original)
        header = dice.choice(headers)
        for _ in range(dice.randint(1, 3)):
            content[header + dice.randrange(512)] = dice.randrange(256)
        # A checksum that fits the damage, so that it is not noticed by that alone.
        content[header + 148 : header + 156] = b" " * 8
        content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header : header + 512])
        (tmp_path / "c.tar").write_bytes(content)
        try:
            load_dataset(tmp_path / "c.tar")
        except DataError:
            refused += 1
    assert refused > 30


def test_nothing_is_extracted(tmp_path: Path, splits: containers.Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = containers.pack(containers.write_cifar_binary(splits, tmp_path / "source"), tmp_path / "c.tar.gz")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    load_dataset(archive)
    assert list((tmp_path / "here").iterdir()) == []
