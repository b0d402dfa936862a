"""Splits whose shards are decoded while they are used: reading pixels waits for the shards that they are in.

Requirements:
- Nothing ever sees a pixel that is not decoded: `images` waits for all of them, `gather` for those it takes.
- What is read does not depend on when it was decoded, or by which process.
"""

import functools
import hashlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.cache import take_images
from visionlib.data.dataset import ImageSplit
from visionlib.data.decode import Resize
from visionlib.data.shard_decoding import OtherShapeError, Shape, read_record
from visionlib.data.shard_files import ShardFile, map_threads
from visionlib.data.shard_pool import decode_shards
from visionlib.data.shards import SplitPlan, find_shape, list_broken, make_pixels, plan_splits, read_shard_labels
from visionlib.data.sources import Sources
from visionlib.errors import BrokenPicturesError, DataError
from visionlib.runs.lock import waiting_turn

_WAIT_S = 0.05


class Arrival:
    """The shards of a split, decoded one after another by a thread, or by another process that has the cache's lock.

    Args:
        plan: of the split.
        shape: of its images.
    """

    def __init__(self, plan: SplitPlan, shape: Shape) -> None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        make_pixels(plan, shape)
        self.plan, self.shape = plan, shape
        self._tasks = plan.tasks(shape)
        self._pixels = torch.from_numpy(np.load(plan.pixels(shape), mmap_mode="c"))
        self._is_there = [not task.rows for task in self._tasks]
        self._ends = torch.tensor([task.first + task.rows for task in self._tasks])
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def begin(self, order: Sequence[int] = ()) -> None:
        """Decode the shards in this order, unless that has begun; without one, in theirs."""
        with self._lock:
            if self._thread is None:
                # A daemon: it may be left when the process ends, what it has finished is kept.
                self._thread = threading.Thread(
                    target=self._decode, args=(order or range(len(self._tasks)),), daemon=True
                )
                self._thread.start()

    def take(self, rows: Int64[Tensor, "k"]) -> UInt8[Tensor, "k c h w"]:
        """Return the images of some rows, as soon as their shards are decoded and verified.

        Raises:
            DataError: if a shard cannot be decoded, or has broken pictures.
        """
        for shard in torch.unique(torch.searchsorted(self._ends, rows, right=True)).tolist():
            self._wait(shard)
        return self._pixels[rows]

    def wait_for_all(self) -> UInt8[Tensor, "n c h w"]:
        """Return the mapped images of the whole split."""
        for shard in range(len(self._tasks)):
            self._wait(shard)
        return self._pixels

    def _wait(self, shard: int) -> None:
        self.begin()
        while not self._is_there[shard]:
            failure = self._failure
            record = read_record(self._tasks[shard]) if self._tasks[shard].record.is_file() else None
            if record is not None:
                if broken := list_broken([(self._tasks[shard], record)]):
                    raise BrokenPicturesError(broken)
                self._is_there[shard] = True
            elif failure is not None:
                raise failure
            else:
                time.sleep(_WAIT_S)

    def _decode(self, order: Iterable[int]) -> None:
        try:
            with waiting_turn(self.plan.folder / "lock"):
                todo = [self._tasks[shard] for shard in order if read_record(self._tasks[shard]) is None]
                decode_shards(todo, lambda rows: None)
        except OtherShapeError:
            problem = "has pictures of another size than its first one, or color where that is gray"
            remedy = "give one --image-size, or train without --stream-shards"
            self._failure = DataError(self.plan.split, problem, remedy)
        except BaseException as error:
            self._failure = error


class StreamedSplit(ImageSplit):
    """A split, or a part of one, whose pixels may not be there yet.

    `content_hash` is not over pixels, which it would wait for, but over shape, labels, and the sizes and places of the
    columns in all files. There are no `originals`, and `sources` without the names that rows hold. What
    `dataclasses.replace` makes of it is a plain `ImageSplit`, when all pixels are there.

    Args:
        arrival: of its shards.
        rows: of the images, in all shards together.
        labels: of the images.
        digest: hash of the whole split.
        sources: of the whole split.
    """

    def __new__(cls, *arguments: object, **fields: Any) -> "StreamedSplit | ImageSplit":  # type: ignore[misc]
        """Make a plain split of the fields that `dataclasses.replace` passes."""
        return ImageSplit(**fields) if "images" in fields else super().__new__(cls)

    def __init__(
        self,
        arrival: Arrival,
        rows: Int64[Tensor, "n"],
        labels: Int64[Tensor, "n"],
        digest: str,
        sources: Sources,
    ) -> None:
        values = {
            "labels": labels,
            "classes": arrival.plan.names,
            "index": rows,
            "masks": None,
            "originals": None,
            "sources": sources,
            "_arrival": arrival,
            "_digest": digest,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    _arrival: Arrival
    _digest: str

    @functools.cached_property
    def images(self) -> UInt8[Tensor, "n c h w"]:
        """All pixels, when they are there."""
        whole = self._arrival.wait_for_all()
        if torch.equal(self.index, torch.arange(len(whole))):
            return whole
        return take_images(whole, self.index, lambda: self.content_hash)

    def gather(self, positions: Int64[Tensor, "k"]) -> UInt8[Tensor, "k c h w"]:
        """Take pixels at `positions`, as soon as these are there."""
        return self._arrival.take(self.index[positions.cpu()])

    def begin(self, order: Sequence[int]) -> None:
        """Decode shards in this order, in the background, unless that has begun."""
        self._arrival.begin(order)

    @property
    def device(self) -> torch.device:
        """Of the mapped pixels."""
        return torch.device("cpu")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._arrival.shape[1], self._arrival.shape[2]

    @property
    def channels(self) -> int:
        """1 for grayscale images, 3 for colour."""
        return self._arrival.shape[0]

    @functools.cached_property
    def content_hash(self) -> str:
        """SHA-256 over files, shape, labels and rows; see the class."""
        digest = hashlib.sha256(f"visionlib-streamed-1 {self._digest} {self._arrival.shape}".encode())
        for values in (self.labels, self.index):
            digest.update(values.numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    def subset(self, positions: Int64[Tensor, "k"]) -> ImageSplit:
        """Take the images at `positions`, in that order, without waiting for them."""
        assert self.sources is not None
        return StreamedSplit(self._arrival, self.index[positions], self.labels[positions], self._digest, self.sources)

    def to(self, device: torch.device | str) -> ImageSplit:
        """Return the same split; on another device, when all pixels are there."""
        if torch.device(device).type == "cpu":
            return self
        whole = ImageSplit(self.images, self.labels, self.classes, self.index, sources=self.sources)
        return whole.to(device)


def stream_shards(
    source: str, files: Mapping[PurePath, ShardFile], image_size: int | None, resize: Resize
) -> tuple[dict[str, ImageSplit], list[str]]:
    """Read the labels of all shards, and return splits that are decoded when they are used; the rest as `load_shards`.

    The first picture of a split decides on the size and channels of its images.
    """
    plans, warnings = plan_splits(source, files, image_size, resize)
    splits: dict[str, ImageSplit] = {}
    for plan in plans:
        arrival = Arrival(plan, find_shape(plan))
        shards = [shard for shard, _ in plan.shards]
        labels = map_threads(functools.partial(read_shard_labels, names=plan.names), shards)
        rows = [count for _, count in plan.shards]
        sources = Sources.of_rows([(shard.name, count) for shard, count in plan.shards])
        whole = torch.tensor([label for one in labels for label in one], dtype=torch.int64)
        digest = hashlib.sha256(" ".join(plan.layouts).encode()).hexdigest()
        splits[plan.split] = StreamedSplit(arrival, torch.arange(sum(rows)), whole, digest, sources)
    return splits, warnings
