"""CSV files: whole or not at all, and nothing in them is computed."""

import csv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from visionlib.errors import ConfigError
from visionlib.evaluation.spreadsheet import escape_formula, write_csv

NAMES = ["a,b", 'say "cat"', "two\nlines", "back\r", "=1+1", "+cat", "-cat", "@cat", "'tis", " =1", "", "naïve", "שלום"]


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_any_name_comes_back_after_one_apostrophe(tmp_path: Path) -> None:
    write_csv(tmp_path / "names.csv", ["name", "n"], [[name, -1.5] for name in NAMES])
    header, *rows = read(tmp_path / "names.csv")
    assert header == ["name", "n"]
    assert [row[0].removeprefix("'") for row in rows] == NAMES
    assert {row[1] for row in rows} == {"-1.5"}
    for row in rows:
        assert not row[0].strip().startswith(("=", "+", "-", "@"))


def test_control_characters_become_escapes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["a"], [["\x1b[31mred\x07"], ["\x00=1"], ["tab\tand\nline"], ["\x9b1m\x7f"]])
    rows = read(tmp_path / "a.csv")[1:]
    assert rows == [[r"\x1b[31mred\x07"], [r"\x00=1"], ["tab\tand\nline"], [r"\x9b1m\x7f"]]


@given(st.text())
@example("\t=1")
@example("\u00a0@x")
@example("\uff1d1")
def test_nothing_that_is_written_begins_like_a_formula(text: str) -> None:
    escaped = escape_formula(text)
    assert escaped in (text, "'" + text)
    assert escaped.removeprefix("'") == text
    assert escaped.strip()[:1] not in set("=+-@\uff1d\uff0b\uff0d\uff20")


def test_what_is_no_place_for_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name a file to write"):
        write_csv(tmp_path, ["a"], [])
    with pytest.raises(ConfigError, match=r"there is no folder .*absent; make it first"):
        write_csv(tmp_path / "absent" / "a.csv", ["a"], [])


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, ["a"], [[1]])

    def rows() -> list[list[int]]:
        raise RuntimeError("no rows")

    with pytest.raises(RuntimeError):
        write_csv(path, ["a"], (row for row in rows()))
    assert read(path) == [["a"], ["1"]]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
