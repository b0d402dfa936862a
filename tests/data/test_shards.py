"""Shards on file systems of fsspec, decoded into the cache; the oracle is the same set read into memory."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from visionlib.data import Dataset, load_dataset, shard_decoding, shard_pool, shards
from visionlib.data.load import is_known, locate_dataset
from visionlib.data.shard_decoding import ShardTask
from visionlib.errors import BrokenPicturesError, DataError, VisionlibError
from visionlib.runs.lock import waiting_turn

Row = tuple[bytes, int]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and nothing on memory://."""
    fsspec.filesystem("memory").store.clear()
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def draw(side: int, value: int, mode: str = "RGB", kind: str = "PNG") -> bytes:
    from PIL import Image

    rng = np.random.default_rng(value)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


def pack(rows: list[Row], *, name: str | None = None, **columns: str) -> bytes:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": content, "path": f"{name}{at}.png" if name else None} for at, (content, _) in enumerate(rows)]
    table = pa.table(
        {
            columns.get("image", "image"): pa.array(pictures, kind),
            columns.get("label", "label"): pa.array([label for _, label in rows], pa.int64()),
        }
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=3)
    return stream.getvalue()


def write_set(home: str, files: dict[str, bytes]) -> str:
    system, place = fsspec.core.url_to_fs(home)
    for name, content in files.items():
        system.makedirs(f"{place}/{Path(name).parent.as_posix()}", exist_ok=True)
        with system.open(f"{place}/{name}", "wb") as file:
            file.write(content)
    return home


def plain_rows(n: int, start: int = 0, side: int = 8) -> list[Row]:
    return [(draw(side, start + at), at % 2) for at in range(n)]


def plain_set(n_shards: int = 3) -> dict[str, bytes]:
    names = {f"train-{at:05}-of-{n_shards:05}.parquet": plain_rows(7 + at, 100 * at) for at in range(n_shards)}
    return {name: pack(rows) for name, rows in names.items()} | {"test-0.parquet": pack(plain_rows(4, 900))}


def assert_same(found: Dataset, expected: Dataset) -> None:
    assert found.content_hash == expected.content_hash
    assert (found.classes, sorted(found.splits)) == (expected.classes, sorted(expected.splits))
    for name, split in expected.splits.items():
        other = found.split(name)
        assert torch.equal(other.index, split.index)
        assert [other.source(at) for at in range(len(other))] == [split.source(at) for at in range(len(split))]
        assert other.originals is not None
        assert split.originals is not None
        assert torch.equal(other.originals.sizes, split.originals.sizes)
        assert other.originals.modes == split.originals.modes


SETS: dict[str, dict[str, bytes]] = {
    "plain": plain_set(),
    "names in rows of one shard": {
        "a_train.parquet": pack(plain_rows(3)),
        "b_train.parquet": pack(plain_rows(3, 50), name="é"),
        "test/0.parquet": pack(plain_rows(2)),
    },
    "a later shard in color": {
        "train-0.parquet": pack([(draw(8, 1, "L"), 0)] * 5),
        "train-1.parquet": pack([(draw(8, 1, "L"), 1), (draw(8, 2), 1)]),
        "test-0.parquet": pack([(draw(8, 3), 0)]),
    },
    "a later shard of another size": {
        "train-0.parquet": pack([(draw(9, 1, "L"), 0)] * 5),
        "train-1.parquet": pack([(draw(9, 1), 1), (draw(40, 2), 1)]),
        "test-0.parquet": pack([(draw(200, 3), 0)]),
    },
    "large pictures, then small ones": {
        "train-0.parquet": pack([(draw(140, 1, "L"), 0)] * 2),
        "train-1.parquet": pack([(draw(32, 1, "L"), 1)]),
        "test-0.parquet": pack([(draw(32, 3), 0)]),
    },
    "no row in a shard, and no test": {"0.parquet": pack([]), "1.parquet": pack(plain_rows(20))},
}


@pytest.mark.parametrize("files", SETS.values(), ids=SETS)
def test_shards_of_a_url_are_the_same_set_as_in_memory(tmp_path: Path, files: dict[str, bytes]) -> None:
    expected = load_dataset(write_set(f"{tmp_path}/set", files))
    remote = load_dataset(write_set("memory://bucket/set", files))
    assert_same(remote, expected)
    assert len(remote.warnings) == len(expected.warnings)
    assert_same(load_dataset(f"file://{tmp_path}/set"), expected)
    assert_same(load_dataset("memory://bucket/set"), expected)  # out of the cache


def test_a_local_set_that_is_too_large_is_mapped(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(write_set(f"{tmp_path}/set", plain_set()))
    expected = load_dataset(home)
    assert not cache.exists()
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    assert_same(load_dataset(home), expected)
    assert len(list(cache.rglob("*.npz"))) == 4


def count_decoded(monkeypatch: pytest.MonkeyPatch, stop_at: int = -1) -> list[str]:
    """Count the shards that are decoded, and stop before one of them, as a signal does."""
    decoded: list[str] = []
    decode = shard_decoding.decode_shard

    def counting(task: ShardTask, advance: shard_pool.Advance) -> None:
        if len(decoded) == stop_at:
            raise KeyboardInterrupt
        decode(task, advance)
        decoded.append(task.shard.name)

    monkeypatch.setattr(shard_pool, "decode_shard", counting)
    return decoded


def test_after_an_interruption_whole_shards_are_kept(tmp_path: Path) -> None:
    files = plain_set(4)
    expected = load_dataset(write_set(f"{tmp_path}/set", files))
    write_set("memory://set", files)
    with pytest.MonkeyPatch.context() as patch:
        before = count_decoded(patch, stop_at=2)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("memory://set")
    with pytest.MonkeyPatch.context() as patch:
        after = count_decoded(patch)
        assert_same(load_dataset("memory://set"), expected)
        assert sorted(before + after) == sorted(files)
        assert len(before) == 2
        load_dataset("memory://set")
        assert len(after) == 3


@pytest.mark.parametrize("target", ["pixels", "record", "cut record", "no pixels"])
def test_a_damaged_shard_alone_is_decoded_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, target: str, tmp_path: Path
) -> None:
    expected = load_dataset(write_set(f"{tmp_path}/set", {name: plain_set()[name] for name in list(plain_set())[:3]}))
    write_set("memory://set", {name: plain_set()[name] for name in list(plain_set())[:3]})
    load_dataset("memory://set")
    pixels, record = next(cache.glob("*/*.npy")), next(cache.glob("*/00001.npz"))
    if target == "no pixels":
        pixels.unlink()
    else:
        path = pixels if target == "pixels" else record
        content = bytearray(path.read_bytes())
        content[-500 if target != "record" else 200] ^= 4
        path.write_bytes(content[:-50] if target == "cut record" else content)
    decoded = count_decoded(monkeypatch)
    assert_same(load_dataset("memory://set"), expected)
    assert len(decoded) == (3 if target == "no pixels" else 1)


def test_a_changed_shard_is_another_set(tmp_path: Path) -> None:
    load_dataset(write_set("memory://set", plain_set()))
    files = plain_set() | {"train-00001-of-00003.parquet": pack(plain_rows(8, 5000))}
    assert_same(load_dataset(write_set("memory://set", files)), load_dataset(write_set(f"{tmp_path}/set", files)))


def test_broken_pictures_of_all_shards_are_named_and_left_out_on_request(tmp_path: Path) -> None:
    broken = draw(40, 1)[:200]  # of another size, which does not count
    files = {
        "train-0.parquet": pack([(b"none", 0), *plain_rows(6)]),
        "train-1.parquet": pack([*plain_rows(3), (broken, 1)]),
        "test-0.parquet": pack(plain_rows(2)),
    }
    write_set("memory://set", files)
    with pytest.raises(
        BrokenPicturesError, match=r"2 pictures: cannot be read: memory:///set/train-0.parquet: row 0, "
    ):
        load_dataset("memory://set")
    expected = load_dataset(write_set(f"{tmp_path}/set", files), skip_broken=True)
    found = load_dataset("memory://set", skip_broken=True)
    assert_same(found, expected)
    assert "were left out, 2: memory:///set/train-0.parquet: row 0, memory:///set/train-1.parquet: row 3" in " ".join(
        found.warnings
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://bucket/set", "unknown protocol nosuch"),
        ("s3://bucket/set", "the protocol s3 needs a package that is not installed; pip install s3fs"),
        ("gs://bucket/train-*.parquet", "pip install gcsfs"),
        ("s3://key:secret@bucket/set", "^s3://bucket/set: came with a password"),
        ("memory://nothing", "^memory://nothing: holds no parquet file; check"),
        ("memory://set/val-*.parquet", "matches no parquet file"),
        ("simplecache::memory://set", "is a chain of file systems"),
        ("memory://set/absent.parquet", "holds no parquet file"),
    ],
)
def test_a_url_without_a_set_is_told_in_a_line(url: str, message: str) -> None:
    write_set("memory://set", plain_set())
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train-1.parquet": pack(plain_rows(2), image="photo")}, "train-1.parquet: has no column img or image, only"),
        ({"train-1.parquet": pack(plain_rows(2), label="kind")}, "train-1.parquet: has no column label"),
        ({"train-1.parquet": b"PAR1 cut"}, "train-1.parquet: is no whole parquet file"),
        ({"train-1.parquet": pack([(draw(8, 1), -1)])}, "train-1.parquet: row 0: has label -1 with 2 classes"),
        ({"other.parquet": pack(plain_rows(2))}, "tells no split by its name"),
        ({"train-00001-of-00003.parquet": pack(plain_rows(1))}, "lacks train-00000-of-00003.parquet, train-00002-of"),
    ],
)
def test_a_shard_that_does_not_fit_is_told_in_a_line(files: dict[str, bytes], message: str) -> None:
    write_set("memory://set", {"train-0.parquet": pack(plain_rows(4))} | files)
    with pytest.raises(VisionlibError, match=message):
        load_dataset("memory://set")


def test_a_pattern_takes_some_files(tmp_path: Path) -> None:
    write_set("memory://set", plain_set())
    assert len(load_dataset("memory://set/train-0000[02]*.parquet").train) == round(16 * 0.9)
    write_set(f"{tmp_path}/set", plain_set())
    assert len(load_dataset(f"{tmp_path}/set/t*.parquet").test) == 4


def test_a_shard_that_changes_while_it_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_set("memory://set", plain_set())
    decode = shard_decoding.decode_shard

    def change(task: ShardTask, advance: shard_pool.Advance) -> None:
        write_set("memory://set", {task.shard.name: pack(plain_rows(task.rows, 3000))})
        decode(task, advance)

    monkeypatch.setattr(shard_pool, "decode_shard", change)
    with pytest.raises(DataError, match=r"test-0.parquet: changed while it was read"):
        load_dataset("memory://set")


def test_a_shard_that_vanishes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    write_set("memory://set", plain_set())
    plan = shards.plan_splits

    def remove(*arguments: object) -> object:
        planned = plan(*arguments)  # type: ignore[arg-type]
        fsspec.filesystem("memory").rm("/set/train-00001-of-00003.parquet")
        return planned

    monkeypatch.setattr(shards, "plan_splits", remove)
    with pytest.raises(DataError, match=r"00001-of-00003.parquet: there is no such file; check its spelling, or put"):
        load_dataset("memory://set")


def test_the_place_of_a_set_for_the_records_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(f"{tmp_path}/set", {"train-0.parquet": b""})
    monkeypatch.chdir(tmp_path)
    assert locate_dataset("memory://set/*") == "memory://set/*"
    assert locate_dataset("set/*.parquet") == f"{tmp_path}/set/*.parquet"
    assert locate_dataset("set") == f"{tmp_path}/set"
    assert [locate_dataset(name) for name in ("none/*.parquet", "cifar10", "a:b")] == [None] * 3
    assert is_known("s3://bucket/set")


def test_processes_decode_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_dataset(write_set(f"{tmp_path}/set", plain_set()))
    monkeypatch.setattr(shard_pool, "_LEAST_BYTES", 0)
    monkeypatch.setattr(shard_pool, "_count_cores", lambda: 2)
    started: list[object] = []
    start = shard_pool._start_process

    def counting() -> object:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(shard_pool, "_start_process", counting)
    write_set(f"{tmp_path}/set", {"test-1.parquet": b"PAR1"})
    with pytest.raises(DataError, match=r"test-1.parquet: is no whole parquet file"):
        load_dataset(f"file://{tmp_path}/set")
    (tmp_path / "set" / "test-1.parquet").unlink()
    assert_same(load_dataset(f"file://{tmp_path}/set"), expected)
    assert len(started) == 2


def test_another_process_that_decodes_is_waited_for(cache: Path) -> None:
    write_set("memory://set", {"train-0.parquet": pack(plain_rows(20))})
    expected = load_dataset("memory://set").content_hash
    (lock,) = cache.glob("*/lock")
    with ThreadPoolExecutor(1) as thread, waiting_turn(lock):
        other = thread.submit(lambda: load_dataset("memory://set").content_hash)
        with pytest.raises(TimeoutError):
            other.result(timeout=0.3)
        fcntl = pytest.importorskip("fcntl")
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert other.result() == expected


def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    monkeypatch.setattr(shard_pool, "_LEAST_BYTES", 0)
    monkeypatch.setattr(shard_pool, "_count_cores", lambda: 2)
    monkeypatch.setattr(shard_pool, "_start_process", lambda: process)
    write_set(f"{tmp_path}/set", plain_set())
    with pytest.raises(
        DataError, match=r"the process that decoded it died \(exit status 0\); see that there is enough"
    ):
        load_dataset(f"file://{tmp_path}/set")
