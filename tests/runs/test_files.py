import json
import os
from pathlib import Path

import pytest

from visionlib.errors import RunError
from visionlib.runs import (
    SCHEMA_VERSION,
    Run,
    create_run,
    hash_file,
    open_run,
    read_json,
    replacing,
    write_bytes,
    write_json,
    write_json_lines,
)


def test_a_record_comes_back_with_its_schema_version(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"name": "Größe", "n": 3})
    assert read_json(tmp_path / "record.json") == {"schema_version": SCHEMA_VERSION, "name": "Größe", "n": 3}


def test_records_stand_one_to_a_line(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "history.jsonl", [{"epoch": 1}, {"epoch": 2}])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


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
        (b"[1, 2]", "has no schema_version"),
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


def test_a_run_opens_only_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such run folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match=r"is no run, it has no config\.json"):
        open_run(tmp_path)
    write_json(Run(tmp_path).config, {})
    assert open_run(tmp_path) == Run(tmp_path)


def test_a_new_run_takes_no_folder_that_holds_something(tmp_path: Path) -> None:
    assert create_run(tmp_path / "deep" / "run").path.is_dir()
    (tmp_path / "deep" / "run" / "mine.txt").touch()
    with pytest.raises(RunError, match="exists and is not empty; choose another folder with --out"):
        create_run(tmp_path / "deep" / "run")
    with pytest.raises(RunError, match="cannot be made"):
        create_run(tmp_path / "deep" / "run" / "mine.txt" / "run")


def test_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
