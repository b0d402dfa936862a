"""Lists of training images to leave out or to relabel: how each line is understood, and what is refused."""

from pathlib import Path

import pytest
import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.data.correction_list import read_corrections
from visionlib.data.corrections import Corrections
from visionlib.data.sources import Sources
from visionlib.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "=sum")
FILES = [
    "train/cat/1.png",
    "train/cat/2.png",
    "train/dog/1.png",
    "train/dog/3, b.png",
    "train/dog/-4.png",
    "train/z/9.png",
]
LABELS = [0, 0, 1, 1, 1, 2]


def make_split(first: int, labels: list[int], sources: Sources | None) -> ImageSplit:
    n = len(labels)
    images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).contiguous()
    return ImageSplit(images, torch.tensor(labels), CLASSES, torch.arange(first, first + n), sources=sources)


@pytest.fixture
def pets() -> Dataset:
    """Six training images with the ids 10 to 15 and two test images, which are files of one folder."""
    names = [*(f"test/cat/{number}.png" for number in range(10)), *FILES]
    sources = Sources.of_files(names)
    splits = {"train": make_split(10, LABELS, sources), "test": make_split(0, [0, 1], sources)}
    return Dataset("pets", splits, CLASSES)


def read(tmp_path: Path, text: str, dataset: Dataset) -> Corrections:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    return read_corrections(path, dataset)


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ("12\n10\n\n12\n", (10, 12)),
        ("\ufefftrain/cat/1.png\r\n2.png\r\n", (10, 11)),
        ("3, b.png\n", (13,)),
        ("/home/me/pets/train/dog/1.png\n", (12,)),
        ("dog\\1.png\n", (12,)),
        ("./train/dog/1.png", (12,)),
        ("index\n10\n11.0\n", (10, 11)),
        ("ID;note\n10;a;b\n".replace(";b", ""), (10,)),
        ("file\ttext\ncat/2.png\tit is grey\n", (11,)),
        ("rank,index,source,split,given,suggested,score\n1,13,'train/dog/3 b.png,train,dog,cat,0.1\n".replace(
            "'train/dog/3 b.png", '"train/dog/3, b.png"'), (13,)),
        ("index,source,given\n15,train/z/9.png,'=sum\n", (15,)),
        ("source\n'-4.png\n", (14,)),
        ("index,source\n,train/cat/2.png\n", (11,)),
    ],
)  # fmt: skip
def test_images_are_named_by_id_or_file(text: str, left_out: tuple[int, ...], pets: Dataset, tmp_path: Path) -> None:
    assert read(tmp_path, text, pets) == Corrections(left_out)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("index,label\n10,dog\n11,\n12,dog\n", Corrections((11,), ((10, "dog"),))),
        ("file,label,new_label\n2.png,cat,dog\n9.png,=sum,\n", Corrections((15,), ((11, "dog"),))),
        ("index,given,suggested,new_label\n10,cat,dog,'=sum\n12,dog,cat,dog\n", Corrections((), ((10, "=sum"),))),
    ],
)
def test_a_column_of_labels_relabels_and_an_empty_cell_leaves_out(
    text: str, expected: Corrections, pets: Dataset, tmp_path: Path
) -> None:
    assert read(tmp_path, text, pets) == expected


def test_rows_of_a_table_are_named_by_file_and_row_or_their_own_name(tmp_path: Path) -> None:
    sources = Sources.of_rows(
        [("a.parquet", 2), ("b.parquet", 4)], ["x.png", "y.png", "z.png", "y.png", "u.png", "v.png"]
    )
    rows = Dataset("rows", {"train": make_split(0, LABELS, sources)}, CLASSES)
    assert read(tmp_path, "a.parquet:1 (y.png)\nb.parquet:0\nu.png\n", rows).left_out == (1, 2, 4)
    with pytest.raises(DataError, match=r"'y\.png' may be any of 2 images \(a\.parquet:1 \(y\.png\), b\.parquet:1 "):
        read(tmp_path, "y.png\n", rows)


WRONG = [
    ("", r"list\.csv: names no image; write an index or a file name"),
    ("index\n", r"list\.csv: names no image"),
    ("nobody.png\n", r"line 1: pets has no image 'nobody\.png'; write the path"),
    ("a,b\n1,2\n", r"line 1: pets has no image 'a,b'"),
    ("2.png\n\n1.png\n", r"line 3: '1\.png' may be any of 3 images \(test/cat/1\.png, train/cat/1\.png, train/dog/1"),
    ("test/cat/1.png\n", r"line 1: 'test/cat/1\.png' is in the test split, and only training images are learned from"),
    ("index\n1\n", r"line 2: image 1 is in the test split"),
    ("99\n", r"line 1: pets has no training image 99"),
    ("9" * 5000, r"line 1: '9{80}\.\.\.' is no index"),
    ("index\n-3\n", r"line 2: '-3' is no index"),
    ("index\n10.5\n", r"line 2: '10\.5' is no index"),
    ("index,split\n10,test\n", r"line 2: is about the split 'test', and only training images"),
    ("index,source\n10,train/cat/2.png\n", r"line 2: 'train/cat/2\.png' is image 11, and its index is 10"),
    (
        "index,given\n10,dog\n",
        r"line 2: image 10 is labelled 'dog' here, and 'cat' in pets; use the list with the data",
    ),
    ("index,label\n10,bird\n", r"line 2: 'bird' is no class; the classes are: cat, dog, =sum"),
    ("index,label\n10,dog\n10,=sum\n", r"line 3: image 10 is named before, with another label"),
    ("index,label\n10\n", r"line 2: has 1 columns instead of 2"),
    ("index,source,note\n,,x\n", r"line 2: names no image; write an index or a file name"),
    ("rank,position,index,source,true,predicted\n1,0,10,,cat,dog\n", r"list\.csv: is a list of test images with their"),
    ("first,second,right,index,first_predicted\na,b,a,10,cat\n", r"is a list of test images with their predictions"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_cannot_be_told_is_refused(text: str, message: str, pets: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, text, pets)
    assert "\n" not in str(error.value)


def test_what_is_no_list_is_refused(pets: Dataset, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(DataError, match=r"list\.csv: is no list in UTF-8"):
        read_corrections(tmp_path / "list.csv", pets)
    with pytest.raises(ConfigError, match="absent: there is no such file"):
        read_corrections(tmp_path / "absent", pets)
    with pytest.raises(ConfigError, match="is no file"):
        read_corrections(tmp_path, pets)
    with pytest.raises(
        DataError, match=r"'a\.png' cannot be told: the images of bare have no files; name them by index"
    ):
        read(tmp_path, "a.png\n", Dataset("bare", {"train": make_split(0, LABELS, None)}, CLASSES))


def test_only_the_training_split_changes_and_its_hash_is_that_of_the_rest(pets: Dataset) -> None:
    corrected = Corrections((11, 13), ((10, "dog"), (14, "cat"))).apply(pets)
    assert corrected.train.index.tolist() == [10, 12, 14, 15]
    assert corrected.train.labels.tolist() == [1, 1, 0, 2]
    assert corrected.train.source(2) == "train/dog/-4.png"
    assert corrected.test is pets.test
    rebuilt = ImageSplit(pets.train.images[[0, 2, 4, 5]], torch.tensor([1, 1, 0, 2]), CLASSES, torch.arange(4))
    assert corrected.train.content_hash == rebuilt.content_hash != pets.train.content_hash
    assert pets.train.labels.tolist() == LABELS


def test_a_class_keeps_an_image_and_ids_and_classes_are_known(pets: Dataset) -> None:
    with pytest.raises(DataError, match="class cat: none of its 2 training images would be left"):
        Corrections((10,), ((11, "dog"),)).apply(pets)
    with pytest.raises(DataError, match="image 3: is not in the training split of pets"):
        Corrections((3,)).apply(pets)
    with pytest.raises(DataError, match="'bird': is no class of pets"):
        Corrections((), ((10, "bird"),)).apply(pets)


def test_the_hash_is_of_images_and_labels() -> None:
    hashes = {Corrections(a, b).sha256 for a in [(), (1,), (2,)] for b in [(), ((1, "x"),), ((1, "y"),)]}
    assert len(hashes) == 9
