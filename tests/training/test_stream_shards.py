"""Training that begins while its shards are decoded: the same bits as with all of them decoded before."""

import dataclasses
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from tests.data.test_shards import draw, pack, plain_rows, write_set
from tests.training.interrupting import interrupt_after, same_weights
from visionlib.data import Dataset, ImageSplit, load_dataset, shard_decoding, shard_pool
from visionlib.data.corrections import Corrections
from visionlib.data.shard_decoding import ShardTask
from visionlib.data.streaming import StreamedSplit
from visionlib.errors import BrokenPicturesError, ConfigError, DataError
from visionlib.inference.run_data import load_run_data
from visionlib.training import TrainConfig, resume, train
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.job import choose_training_compute, make_job
from visionlib.training.shard_order import block_order, first_block, shard_order

N_SHARDS, ROWS = 6, 10
FILES = {f"train-{at}.parquet": pack(plain_rows(ROWS, 100 * at)) for at in range(N_SHARDS)}
FILES |= {"test-0.parquet": pack(plain_rows(6, 900))}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and the set on memory://."""
    fsspec.filesystem("memory").store.clear()
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    write_set("memory://set", FILES)
    return tmp_path / "cache" / "decoded"


class Gate:
    """Lets the first shards be decoded, and others only when it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.opened, self.decoded, self._free = threading.Event(), list[str](), free
        self._decode = shard_decoding.decode_shard
        monkeypatch.setattr(shard_pool, "decode_shard", self._pass)

    def _pass(self, task: ShardTask, advance: shard_pool.Advance) -> None:
        if len(self.decoded) >= self._free:
            assert self.opened.wait(60)
        self._decode(task, advance)
        self.decoded.append(task.shard.name)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch, free=2)
    yield gate
    gate.opened.set()


def load_batches(source: Dataset, config: TrainConfig, epoch: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    job, _ = make_job(source, config, choose_training_compute(config))
    batches = epoch_batches(
        job.split, config.batch_size, seed=config.seed, epoch=epoch, stream_shards=config.stream_shards
    )
    for images, targets in augmented_batches(job.split, batches, config):
        assert isinstance(targets, torch.Tensor)
        yield images, targets


def test_the_order_by_blocks_is_that_of_a_slow_version() -> None:
    split = load_dataset("memory://set").train.subset(torch.arange(0, 60, 2))
    visit = shard_order(N_SHARDS, 3).tolist()
    assert sorted(visit) == list(range(N_SHARDS))
    assert visit != list(range(N_SHARDS))
    plain = torch.cat(epoch_batches(split, 1, seed=3, epoch=0))[:, 0].tolist()
    expected: list[int] = []
    for start in range(0, N_SHARDS, 4):
        block = set(visit[start : start + 4])
        expected += [at for at in plain if int(split.index[at]) // ROWS in block]
    assert block_order(split, 3, 4).tolist() == expected
    assert first_block(split, 3, 4).tolist() == expected[:20]
    assert block_order(split, 3, N_SHARDS).tolist() == plain
    assert block_order(split, 4, 4).tolist() != expected
    assert torch.cat(epoch_batches(split, 1, seed=3, epoch=0, stream_shards=4))[:, 0].tolist() == expected
    later = [torch.cat(epoch_batches(split, 1, seed=3, epoch=1, stream_shards=k))[:, 0].tolist() for k in (0, 4)]
    assert later[0] == later[1]


CONFIG = TrainConfig(model="cnn8", batch_size=5, stream_shards=2, seed=1, crop_px=1, kernels="off")


def test_batches_come_as_soon_as_their_block_is_there(gate: Gate) -> None:
    batches = load_batches(load_dataset("memory://set", stream=True), CONFIG)
    first = [next(batches) for _ in range(3)]
    visit = [f"train-{at}.parquet" for at in shard_order(N_SHARDS, 1).tolist()]
    assert gate.decoded == visit[:2]
    gate.opened.set()
    found = [*first, *batches]
    assert gate.decoded == visit
    again = list(load_batches(load_dataset("memory://set", stream=True), CONFIG))  # all in the cache
    assert len(again) == len(found) == 12
    assert all(
        torch.equal(a, b) for one, other in zip(found, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    plain = list(load_batches(load_dataset("memory://set"), CONFIG))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(found, plain, strict=True))


def test_reading_all_pixels_waits_for_all(gate: Gate, tmp_path: Path) -> None:
    whole = load_dataset(write_set(f"{tmp_path}/set", FILES)).train
    split = load_dataset("memory://set", stream=True).train
    assert (len(split), split.image_size, split.channels) == (60, (8, 8), 3)
    assert torch.equal(split.labels, whole.labels)
    timer = threading.Timer(0.3, gate.opened.set)
    timer.start()
    assert torch.equal(split.images, whole.images)
    assert len(gate.decoded) == N_SHARDS
    assert (split.mean, split.std) == (whole.mean, whole.std)
    part = split.subset(torch.tensor([59, 3]))
    assert isinstance(part, StreamedSplit)
    assert torch.equal(part.images, whole.images[[59, 3]])
    assert part.source(0) == "train-5.parquet:9"
    relabelled = dataclasses.replace(part, labels=torch.tensor([0, 0]))
    assert type(relabelled) is ImageSplit
    assert torch.equal(relabelled.images, part.images)
    assert relabelled.labels.tolist() == [0, 0]
    assert len(Corrections(left_out=(3,)).apply(load_dataset("memory://set", stream=True)).train) == 59
    assert part.content_hash != split.subset(torch.tensor([3, 59])).content_hash


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (
            {"train-5.parquet": pack([(draw(9, 1), 0)])},
            DataError,
            "^train: has pictures of another size than its first",
        ),
        ({"train-5.parquet": pack([(b"none", 0)])}, BrokenPicturesError, "train-5.parquet: row 0: is no whole PNG"),
    ],
)
def test_a_shard_that_does_not_fit_ends_it_in_a_line(
    files: dict[str, bytes], error: type[DataError], message: str
) -> None:
    write_set("memory://set", files)
    with pytest.raises(error, match=message):
        list(load_batches(load_dataset("memory://set", stream=True), CONFIG))


def test_what_has_no_shards_is_refused(small_shapes: Dataset, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("shapes", str(tmp_path / "empty")):
        with pytest.raises(ConfigError, match="is no set of parquet shards"):
            load_dataset(name, stream=True)
    with pytest.raises(ConfigError, match="leave one out"):
        load_dataset("memory://set", stream=True, skip_broken=True)
    with pytest.raises(DataError, match="there is no"):
        load_dataset(f"{tmp_path}/none", stream=True)
    with pytest.raises(ConfigError, match="stream_shards: the images are no rows of files"):
        list(load_batches(small_shapes, CONFIG))


def test_interrupted_while_it_is_decoded_it_ends_with_the_weights_of_a_complete_cache(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.replace(epochs=2, validation_fraction=0.1, threads=1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    try:
        with monkeypatch.context() as patched:
            interrupt_after(2, patched, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                train("memory://set", config, model=tiny_network, out=tmp_path / "a")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(gate.decoded) == 2  # of seven
    gate.opened.set()
    run = resume(tmp_path / "a", model=tiny_network)
    other = train("memory://set", config, model=tiny_network, out=tmp_path / "b")
    assert same_weights(run, other)
    data = load_run_data(run)
    assert isinstance(data.train, StreamedSplit)
    assert len(data.test) == 6


def tiny_network(classes: int = 10, channels: int = 3) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * 64, classes))
