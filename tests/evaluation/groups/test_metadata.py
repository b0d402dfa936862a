"""Metadata of images from CSV files, named by index or by file; what is wrong with them in one line."""

import math
from pathlib import Path

import pytest
import torch

from visionlib.data.sources import Sources
from visionlib.errors import DataError
from visionlib.evaluation.groups.metadata import load_metadata
from visionlib.evaluation.groups.properties import Category, Property, Quantity

FILES = ("test/cat/1.png", "test/cat/2.png", "test/dog/1.png", "test/dog/3.png")
SOURCES = Sources.of_files(FILES)
INDEX = torch.arange(4)


def load(folder: Path, text: str, sources: Sources | None = SOURCES) -> tuple[tuple[Property, ...], tuple[str, ...]]:
    path = folder / "meta.csv"
    path.write_bytes(text.encode("utf-8"))
    return load_metadata(path, INDEX[: len(INDEX)], sources)


def names(entry: Property) -> list[str | None]:
    assert isinstance(entry, Category)
    return [entry.names[at] if at >= 0 else None for at in entry.values.tolist()]


@pytest.mark.parametrize(
    "rows",
    [
        "index,camera\n0,A\n1,B\n2,A\n3,B\n",
        "\ufeffcamera;index\r\nA;0\r\nB;1\r\nA;2\r\nB;3\r\n",
        "file,camera\n" + "".join(f"{name},{camera}\n" for name, camera in zip(FILES, "ABAB", strict=True)),
        "source,camera\ncat/1.png,A\n2.png,B\ndog/1.png,A\n3.png,B\n",
        "path,camera\n" + "".join(f"/data/x/{name},{camera}\n" for name, camera in zip(FILES, "ABAB", strict=True)),
        "filename,camera\n"
        + "".join(f".\\{name},{camera}\n".replace("/", "\\") for name, camera in zip(FILES, "ABAB", strict=True)),
        "index,camera\n3,B\n2,A\n\n1, B \n0,A\n",
    ],
    ids=["index", "semicolons", "whole", "ends", "absolute", "windows", "any order"],
)
def test_images_are_found_by_index_and_by_file(tmp_path: Path, rows: str) -> None:
    (camera,), notes = load(tmp_path, rows)
    assert names(camera) == ["A", "B", "A", "B"]
    assert (camera.name, notes) == ("camera", ())


def test_rows_of_other_images_are_left_out_and_absent_ones_are_unknown(tmp_path: Path) -> None:
    (camera,), notes = load(tmp_path, "file,camera\ntrain/cat/1.png,C\ntest/dog/3.png,A\ntest/cat/2.png,A\n")
    assert names(camera) == [None, "A", None, "A"]
    assert notes == ("meta.csv has rows for 2 of 4 images",)


def test_rows_of_a_file_are_found_by_number_and_by_name(tmp_path: Path) -> None:
    sources = Sources.of_rows([("test.parquet", 4)], ["a.png", "b.png", "c.png", "c.png"])
    (camera,), _ = load(tmp_path, "file,camera\ntest.parquet:1,B\na.png,A\ntest.parquet:2 (c.png),A\n", sources)
    assert names(camera) == ["A", "B", "A", None]
    with pytest.raises(DataError, match=r"row 2: 'c.png' is the name of several images"):
        load(tmp_path, "file,camera\nc.png,A\n", sources)


def test_numbers_are_quantities_if_there_are_many(tmp_path: Path) -> None:
    path = tmp_path / "meta.csv"
    cells = ["0.5", "1e3", "-2", "", "nan", "7", "8", "9", "10", "11", "12"]
    path.write_text("index,age,flag\n" + "".join(f"{at},{cell},{at % 2}\n" for at, cell in enumerate(cells)))
    (age, flag), _ = load_metadata(path, torch.arange(11), None)
    assert isinstance(age, Quantity)
    assert (age.low, age.high) == ("low age", "high age")
    expected = [0.5, 1000, -2, math.nan, math.nan, 7, 8, 9, 10, 11, 12]
    assert age.values.tolist() == pytest.approx(expected, nan_ok=True)
    assert names(flag) == [str(at % 2) for at in range(11)]


def test_a_column_of_names_of_single_images_is_left_out(tmp_path: Path) -> None:
    properties, notes = load(tmp_path, "index,id,camera\n0,q,A\n1,w,A\n2,e,B\n3,r,B\n")
    assert [entry.name for entry in properties] == ["camera"]
    assert notes == ("column 'id' of meta.csv was left out: it has no names, too many, or one for each image",)


def test_braces_in_a_name_are_text(tmp_path: Path) -> None:
    (entry,), _ = load(tmp_path, "index,{x}\n0,A\n1,A\n2,B\n3,B\n")
    assert isinstance(entry, Category)
    assert entry.wording.format("A") == "{x} A"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows below a header"),
        ("index,a\n", "has no rows below a header"),
        ("number,a\n0,1\n", "has no column that names the images, only number, a"),
        ("index\n0\n", "has no column but 'index'"),
        ("index,a,a\n0,1,2\n", "its header has 'a' twice"),
        ("index,,a\n0,1,2\n", "its header has an empty name"),
        ("index,a\n0,1,2\n", "row 2 has 3 columns instead of 2"),
        ("index,a\n0,1\n0,2\n", "has two rows for '0'"),
        ("index,a\nx,1\n", "row 2: 'x' is no index"),
        ("index,a\n-1,1\n", "row 2: '-1' is no index"),
        ("index,a\n77,1\n", "no value of its column 'index' is of an image of the split, such as '77'"),
        ("file,a\nother.png,1\n", "no value of its column 'file' is of an image"),
        ("file,a\n1.png,1\n", "row 2: '1.png' is the name of several images"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "meta.csv: " in str(caught.value)


def test_files_cannot_be_found_where_they_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="those of this split are not known; name them by a column `index`"):
        load(tmp_path, "file,a\n1.png,1\n", None)


def test_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file") as caught:
        load_metadata(tmp_path / "absent.csv", INDEX, None)
    assert caught.value.exit_code == 2
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match="is no CSV file in UTF-8"):
        load_metadata(tmp_path / "picture.csv", INDEX, None)
