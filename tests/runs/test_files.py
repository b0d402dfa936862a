"""Files are written whole or not at all, and records that cannot be trusted are refused."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from bench.disk_faults import Fault, watching
from visionlib.errors import ConfigError, RunError
from visionlib.runs import (
    SCHEMA_VERSION,
    check_file_place,
    files,
    hash_file,
    read_json,
    read_json_lines,
    replacing,
    write_bytes,
    write_json,
    write_json_lines,
)
from visionlib.runs.files import check_new_file, has_broken_seal, read_whole, seal_file


def test_a_record_comes_back_with_its_schema_version(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"name": "Größe", "n": 3})
    assert read_json(tmp_path / "record.json") == {"schema_version": SCHEMA_VERSION, "name": "Größe", "n": 3}


def test_records_stand_one_to_a_line(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "history.jsonl", [{"epoch": 1}, {"epoch": 2}])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert [record["epoch"] for record in read_json_lines(tmp_path / "history.jsonl")] == [1, 2]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    write_bytes(target, b"old")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_never_sees_the_file_before_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    with replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_files_have_the_permissions_that_new_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nan_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "record.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema_version": 1, "n"', "is damaged .*; restore it, or train again"),
        (b"\xff\xfe\x00", "is damaged"),
        (b'{"n": 1}', "has no schema_version"),
        (b"[1, 2]", "is no object"),
        (b'{"schema_version": true}', "has no schema_version"),
        (b'{"schema_version": 1, "n": 1, "n": 2}', "the field 'n' occurs twice"),
        (b'{"schema_version": 1, "x": {"n": 1, "n": 2}}', "the field 'n' occurs twice"),
        (b'{"schema_version": 1, "n": NaN}', "it holds NaN, which is no JSON"),
        (b'{"schema_version": 1, "n": -Infinity}', "it holds -Infinity, which is no JSON"),
        (b'{"schema_version": 1, "n": 1e999}', "the number 1e999 is out of range"),
        (
            b'{"schema_version": 1, "n": ' + b"1" * 5000 + b"}",
            "the number 1111111111111111111111111... is out of range",
        ),
        (b'{"schema_version": 1, "n": ' + b"[" * 60 + b"]" * 60 + b"}", "it is nested deeper than 50 levels"),
        (b'{"schema_version": 1, "n": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "is damaged"),
        (b'{"schema_version": 99}', "has schema 99 and this visionlib knows up to 1; update visionlib"),
    ],
)
def test_records_that_cannot_be_trusted_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_place_where_no_file_can_be_written_is_an_error(tmp_path: Path) -> None:
    check_file_place(tmp_path / "table.csv")
    with pytest.raises(ConfigError, match="is a folder; name a file to write"):
        check_file_place(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no folder .*absent; make it first"):
        check_file_place(tmp_path / "absent" / "table.csv")


def test_every_flipped_bit_of_a_sealed_file_breaks_its_seal_or_leaves_its_content(tmp_path: Path) -> None:
    file, content = tmp_path / "file", bytes(range(40))
    file.write_bytes(content)
    assert not has_broken_seal(file)
    seal_file(file)
    sealed = file.read_bytes()
    assert sealed[:40] == content
    assert sealed[-32:] == hashlib.sha256(content).digest()
    assert not has_broken_seal(file)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        assert has_broken_seal(file) or (changed[:40] == content and changed[-32:] == sealed[-32:])


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 48, b"visionlib-sha256"])
def test_a_file_without_a_seal_has_no_broken_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not has_broken_seal(tmp_path / "file")


def test_a_file_that_is_none_or_too_large_or_unreadable_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    assert read_whole(tmp_path / "file", most_bytes=10) == bytes(10)
    with pytest.raises(RunError, match="file: has 10 bytes, more than the limit of 9"):
        read_whole(tmp_path / "file", most_bytes=9)
    with pytest.raises(RunError, match="is a folder, or a file of a special kind"):
        read_whole(tmp_path, most_bytes=9)
    for read in (hash_file, lambda path: read_whole(path, most_bytes=10)):
        with (
            watching(tmp_path, Fault(0, errno.EIO)),
            pytest.raises(RunError, match=r"file: cannot be read \(Input/output error\); make it readable"),
        ):
            read(tmp_path / "file")


def test_an_error_of_another_file_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "run" / "record") as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())
    with watching(tmp_path / "run", Fault(5, errno.EIO)) as fault, pytest.raises(RunError, match="record: cannot be w"):
        write_bytes(tmp_path / "run" / "record", b"new")
    assert len(fault.operations) > 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX's")
def test_records_that_are_no_files_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        for read in (read_json, read_json_lines):
            with pytest.raises(RunError, match=f"{name}: is a folder, or a file of a special kind; restore it"):
                read(tmp_path / name)
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    with pytest.raises(RunError, match="dangling: the run lacks this file"):
        read_json(tmp_path / "dangling")


def test_a_record_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunError, match=r"has 1,099,511,627,776 bytes, more than the limit of 268,435,456"):
        read_json(tmp_path / "config.json")


def test_a_new_file_replaces_another_only_by_force(tmp_path: Path) -> None:
    check_new_file(tmp_path / "new.csv", force=False)
    (tmp_path / "old.csv").touch()
    with pytest.raises(ConfigError, match=r"old\.csv: exists; choose another name, or replace it with --force"):
        check_new_file(tmp_path / "old.csv", force=False)
    check_new_file(tmp_path / "old.csv", force=True)


def test_no_folder_is_opened_where_the_system_opens_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        files._flush_folder(tmp_path / "absent")
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        files._flush_folder(tmp_path / "absent")
