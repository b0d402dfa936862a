"""Each image names the file that it was read from: the file is opened, and its pixels are those of the image."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data import containers
from tests.data.opening import ODD_NAMES, check_dataset, check_split, write_odd_folder
from visionlib.data import Dataset, hold_out, load_dataset, load_shapes
from visionlib.data.class_names import tidy_path
from visionlib.data.sources import Sources, name_sources

SPLITS = {"train": containers.draw_noise(3, 3, seed=1), "test": containers.draw_noise(3, 1, seed=2)}


def test_pictures_of_nested_folders_with_odd_names(tmp_path: Path) -> None:
    data = load_dataset(write_odd_folder(tmp_path / "pets"))
    check_dataset(tmp_path / "pets", data)
    found = check_split(tmp_path / "pets", data.test)
    assert {source.rsplit("/", 1)[-1] for source in found} >= set(ODD_NAMES)
    assert "test/cat/deep/er/two  spaces .png" in found


@pytest.mark.parametrize("place", [".", "archive", "pets/images"])
def test_the_path_begins_at_the_folder_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    write_odd_folder(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    for named in (str(tmp_path), ".", f"../{tmp_path.name}/", str(tmp_path) + "//."):
        data = load_dataset(named)
        check_dataset(tmp_path, data)
        assert not [source for source in check_split(tmp_path, data.train) if source.startswith(("/", "."))]


def test_linked_folders_keep_the_path_through_the_link(tmp_path: Path) -> None:
    home = write_odd_folder(tmp_path / "pets")
    shutil.move(home / "train" / "cat", tmp_path / "elsewhere")
    (home / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (home / "train" / "dog" / "more").symlink_to(write_odd_folder(tmp_path / "other") / "test" / "dog")
    data = load_dataset(home)
    check_dataset(home, data)
    found = check_split(home, data.train)
    assert sum(source.startswith("train/cat/") for source in found) == 12
    assert sum(source.startswith("train/dog/more/") for source in found) == 12


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_names_do_not_shift_where_broken_pictures_are_left_out(tmp_path: Path, content: bytes | None) -> None:
    """Some have no header; None cuts a picture within its pixels, which is found later."""
    home = write_odd_folder(tmp_path / "pets")
    whole = load_dataset(home)
    victims = [whole.train.source(position) for position in (0, 7, 8, len(whole.train) - 1)]
    for victim in victims:
        path = home / str(victim)
        path.write_bytes(path.read_bytes()[:-60] if content is None else content)
    data = load_dataset(home, skip_broken=True)
    assert len(data.train) == len(whole.train) - 4
    check_dataset(home, data)
    assert not set(victims) & set(check_split(home, data.train))


def test_held_out_images_keep_their_files(tmp_path: Path) -> None:
    home = write_odd_folder(tmp_path / "pets") / "train"
    data = load_dataset(home, holdout_fraction=0.3, seed=5)
    assert len(data.test) == 8
    check_dataset(home, data)
    for part in hold_out(data.train, 0.4, seed=1):
        check_split(home, part)


def test_parts_and_copies_keep_their_files(tmp_path: Path) -> None:
    home = write_odd_folder(tmp_path / "pets")
    split = load_dataset(home).train
    order = torch.randperm(len(split))
    part = split.subset(order).subset(torch.tensor([3, 0, 5])).to("cpu")
    assert check_split(home, part) == [split.source(int(order[at])) for at in (3, 0, 5)]


def test_names_do_not_count_for_the_content(tmp_path: Path) -> None:
    first, second = (containers.write_folder(SPLITS, tmp_path / name) for name in ("first", "second"))
    for path in list(second.rglob("*.png")):
        path.rename(path.with_name(f"renamed {path.name}"))
    for path in list(second.rglob("*.[bw]*[mb]p*")):
        path.rename(path.with_name(f"renamed {path.name}"))
    data = [load_dataset(path) for path in (first, second)]
    assert data[0].content_hash == data[1].content_hash
    assert data[1].train.source(0) == str(data[0].train.source(0)).replace("/0", "/renamed 0")


def test_pictures_from_the_cache_of_decoded_images_keep_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    home = write_odd_folder(tmp_path / "pets")
    for _ in range(2):
        check_dataset(home, load_dataset(home))
    assert list((tmp_path / "cache" / "decoded").iterdir())


def write_shards(home: Path, paths: list[str | None] | None) -> Path:
    """Write the training images as two files of 11 and 19 rows, and the test images as a third."""
    home.mkdir(parents=True)
    features = {"info": {"features": {"label": {"names": list(containers.CIFAR10_CLASSES), "_type": "ClassLabel"}}}}
    pieces = {
        "train-00000-of-00002": SPLITS["train"].subset(torch.arange(11)),
        "train-00001-of-00002": SPLITS["train"].subset(torch.arange(11, 30)),
        "test-00000-of-00001": SPLITS["test"],
    }
    fields = [("bytes", pa.binary())] + ([] if paths is None else [("path", pa.string())])
    for name, split in pieces.items():
        rows = [
            {"bytes": containers.encode(image), **({} if paths is None else {"path": paths[at % len(paths)]})}
            for at, image in enumerate(split.images)
        ]
        table = pa.table({"img": pa.array(rows, pa.struct(fields)), "label": pa.array(split.labels.tolist())})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), home / f"{name}.parquet")
    return home


@pytest.mark.parametrize("paths", [None, [None], ["a b.png", "c (2).png", None], ["x/\u732b.png", "=cmd().png"]])
@pytest.mark.parametrize("place", ["hub", "hub/data"])
def test_rows_of_parquet_files(tmp_path: Path, paths: list[str | None] | None, place: str) -> None:
    write_shards(tmp_path / place, paths)
    home = tmp_path / "hub"
    data = load_dataset(home)
    check_dataset(home, data)
    folder = "data/" if place == "hub/data" else ""
    own = f" ({paths[2 % len(paths)]})" if paths and paths[2 % len(paths)] else ""
    assert data.train.source(13) == f"{folder}train-00001-of-00002.parquet:2{own}"
    alone = load_dataset(next((tmp_path / place).glob("train-00001*")))
    check_dataset(tmp_path / place, alone)


def test_rows_do_not_shift_where_broken_pictures_are_left_out(tmp_path: Path) -> None:
    home = write_shards(tmp_path / "hub", ["p.png"])
    path = home / "train-00000-of-00002.parquet"
    table = pq.read_table(path)
    rows = table.column("img").to_pylist()
    rows[4]["bytes"] = b"<html>"
    pq.write_table(table.set_column(0, "img", pa.array(rows, table.schema.field("img").type)), path)
    data = load_dataset(home, skip_broken=True)
    assert len(data.train) == 29
    check_dataset(home, data)
    assert data.train.source(4) == "train-00000-of-00002.parquet:5 (p.png)"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("/home/secret/x.png", "x.png"),
        ("C:\\secret\\x.png", "x.png"),
        ("C:x.png", "x.png"),
        ("\\\\secret\\share\\x.png", "x.png"),
        ("../../secret/x.png", "x.png"),
        ("a/../../secret/x.png", "x.png"),
        ("~secret/x.png", "x.png"),
        ("https://secret.org/x.png", "x.png"),
        ("zip://x.png::/home/secret/all.zip", "x.png"),
        ("secret@host:/data/x.png", "x.png"),
        ("cats/a..b/x.png", "cats/a..b/x.png"),
        ("12:30.png", "12:30.png"),
    ],
)
def test_names_in_rows_do_not_tell_of_the_machine_that_wrote_them(written: str, shown: str) -> None:
    assert Sources.of_rows([("t.parquet", 1)], [written]).name(0) == f"t.parquet:0 ({shown})"


def test_a_name_that_is_nothing_but_a_way_out_is_left_out() -> None:
    sources = Sources.of_rows([("t.parquet", 3)], ["../..", "/", "x.png"])
    assert [sources.name(index) for index in range(4)] == ["t.parquet:0", "t.parquet:1", "t.parquet:2 (x.png)", None]


@pytest.mark.parametrize(
    "write",
    [
        containers.write_cifar_binary,
        containers.write_cifar_python,
        containers.write_cifar100_binary,
        containers.write_cifar100_python,
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_rows_of_cifar_batches(tmp_path: Path, write: Callable[..., Path], is_packed: bool) -> None:
    folder = write({**SPLITS, "train": SPLITS["train"].subset(torch.arange(28))}, tmp_path)  # five unequal batches
    data = load_dataset(containers.pack(folder, tmp_path / "set.tar.gz") if is_packed else folder)
    check_dataset(folder, data)
    if write is containers.write_cifar_python:
        assert [data.train.source(at) for at in (0, 5, 6, 27)] == [
            *("data_batch_1:0", "data_batch_1:5", "data_batch_2:0", "data_batch_5:4"),
        ]


@pytest.mark.parametrize("is_packed", [False, True])
def test_rows_of_idx_files(tmp_path: Path, is_packed: bool) -> None:
    generator = np.random.default_rng(0)
    for prefix, n in (("train", 20), ("t10k", 6)):
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = b"".join(size.to_bytes(4, "big") for size in (n, 28, 28))
        for kind, content in (
            ("images-idx3", bytes([0, 0, 8, 3]) + header + images.tobytes()),
            ("labels-idx1", bytes([0, 0, 8, 1]) + header[:4] + bytes(at % 2 for at in range(n))),
        ):
            path = tmp_path / f"{prefix}-{kind}-ubyte{'.gz' if is_packed else ''}"
            path.write_bytes(gzip.compress(content) if is_packed else content)
    data = load_dataset(tmp_path)
    check_dataset(tmp_path, data)
    assert data.test.source(5) == f"t10k-images-idx3-ubyte{'.gz' if is_packed else ''}:5"


def test_drawn_images_and_arrays_have_no_file(small_shapes: Dataset) -> None:
    assert load_shapes(n_train=10, n_test=10, image_size=16).train.source(3) is None
    assert small_shapes.train.sources is None
    assert name_sources(None, torch.arange(4).view(2, 2)) == [None] * 4


def test_a_million_rows_take_no_more_room_than_ten() -> None:
    sources = Sources.of_rows([("a", 10), ("empty", 0), ("b", 10**6)])
    assert sum(values.nbytes for values in sources.to_arrays().values()) < 100
    assert [sources.name(at) for at in (-1, 9, 10, 10**6 + 9, 10**6 + 10)] == [None, "a:9", "b:0", "b:999999", None]


def test_arrays_give_the_same_names() -> None:
    for sources in (
        Sources.of_files([f"train/{name}" for name in ODD_NAMES]),
        Sources.of_rows([("a", 4), ("b", 6)], [name.replace("\\", "") for name in ODD_NAMES]),
        Sources.of_files([]),
    ):
        again = Sources.from_arrays(list(sources.files), sources.to_arrays())
        assert [again.name(at) for at in range(11)] == [sources.name(at) for at in range(11)]


@pytest.mark.parametrize(
    "change",
    [
        {"text_ends": np.array([2, 1, 6])},
        {"text_ends": np.array([-1, 3, 6])},
        {"text_ends": np.array([2, 4, 9])},
        {"text_ends": np.array([[2, 4, 6]])},
        {"text_ends": np.array([2.0, 4.0, 6.0])},
        {"file_ends": np.array([3])},
        {"text": np.array([1.0] * 6)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, np.ndarray]) -> None:
    arrays = Sources.of_files(["ab", "cd", "ef"]).to_arrays()
    with pytest.raises(ValueError, match=r"cut|out of order"):
        Sources.from_arrays([], {**arrays, **change})


def test_bytes_that_are_no_text_have_a_name_all_the_same() -> None:
    arrays = {**Sources.of_files(["ab"]).to_arrays(), "text": np.array([0xFF, 0xFE], dtype=np.uint8)}
    assert Sources.from_arrays([], arrays).name(0) == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("path", "longest", "shown"),
    [
        ("train/cat/two  spaces.png", 80, "train/cat/two  spaces.png"),
        ("line\nbreak\t\x1b[31m.png", 80, "line\\nbreak\\t\\x1b[31m.png"),
        ("caf\udce9.png", 80, "caf\\xe9.png"),
        ("\u202egnp.\u2028png", 80, "\\u202egnp.\\u2028png"),
        ("train/cat/img_0012.png", 12, "…mg_0012.png"),
        ("train/" + "n" * 90 + "/img_0012.png", 30, "train/nnnn…nnnnnn/img_0012.png"),
    ],
)
def test_paths_are_shown_on_one_line(path: str, longest: int, shown: str) -> None:
    assert tidy_path(path, longest) == shown
    assert len(shown) <= max(longest, len(path) + 10)
