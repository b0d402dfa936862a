"""Members of tar archives and files of folders, by name: bounded in number and size, and never a link."""

import errno
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from bench.disk_faults import Fault, watching
from visionlib.data import archives
from visionlib.data.archives import read_members
from visionlib.errors import DataError


def write_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content) if kind == tarfile.REGTYPE else 0, kind
            archive.addfile(member, io.BytesIO(content))
    return path


def test_wanted_files_are_read_by_their_base_names(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"deep/folder/one": b"1", "two": b"22", "three": b"333"})
    assert read_members(path, {"one", "two", "absent"}) == {"one": b"1", "two": b"22"}
    (tmp_path / "one").write_bytes(b"file")
    assert read_members(tmp_path, {"one", "absent"}) == {"one": b"file"}


def test_a_folder_of_a_wanted_name_is_passed_over(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"one": b""}, kind=tarfile.DIRTYPE)
    assert read_members(path, {"one"}) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"one": b""}, kind=kind)
    with pytest.raises(DataError, match=r"a\.tar: one: is a link, a device or sparse, not a plain file"):
        read_members(path, {"one"})


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 3)
    three = {str(number): b"" for number in range(3)}
    assert read_members(write_tar(tmp_path / "a.tar", three), {"0"}) == {"0": b""}
    with pytest.raises(DataError, match="holds more than 3 members; name an official archive"):
        read_members(write_tar(tmp_path / "a.tar", {**three, "4": b""}), {"0"})


def test_sizes_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_BYTES", 20_000)  # a tar file is padded to 10,240 bytes
    path = write_tar(tmp_path / "a.tar", {"one": bytes(5_000)})
    assert len(read_members(path, {"one"})["one"]) == 5_000
    header = bytearray(path.read_bytes())
    member = tarfile.TarInfo("one")
    member.size = 30_000
    header[:512] = member.tobuf()
    path.write_bytes(header)
    with pytest.raises(DataError, match="claims 30,000 bytes, more than any batch has"):
        read_members(path, {"one"})
    (tmp_path / "two").write_bytes(bytes(20_001))
    with pytest.raises(DataError, match="two: has 20,001 bytes, more than any batch has"):
        read_members(tmp_path, {"two"})


@pytest.mark.parametrize("length", [600, 1000, 5_000])
def test_a_member_that_is_cut_is_refused(length: int, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"one": bytes(8_000)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="is no whole tar archive"):
        read_members(path, {"one"})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    with (
        watching(tmp_path, Fault(0, errno.EIO)),
        pytest.raises(DataError, match=r"one: cannot be read \(Input/output error\); allow reading it"),
    ):
        read_members(tmp_path, {"one"})


def test_a_small_archive_that_unpacks_to_a_giant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_BYTES", 50_000)
    plain = write_tar(tmp_path / "a.tar", {"one": b"1", "other": bytes(60_000)}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(plain))
    with pytest.raises(DataError, match=r"a\.tar\.gz: unpacks to more than 50,000 bytes; name an official archive"):
        read_members(tmp_path / "a.tar.gz", {"one"})


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"first/one": b"1", "second/one": b"2"})
    with pytest.raises(DataError, match=r"second/one: is there twice; name an official archive"):
        read_members(path, {"one"})


def test_what_follows_the_archive_is_read_for_the_checksum(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "a.tar", {"one": b"1"}).read_bytes() + bytes(100_000)
    content = bytearray(gzip.compress(plain))
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert read_members(tmp_path / "a.tar.gz", {"one"}) == {"one": b"1"}
    content[-8] ^= 1  # of the checksum
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"is no whole tar archive \(CRC check failed"):
        read_members(tmp_path / "a.tar.gz", {"one"})
