"""Parquet shards of any number and size: decoded once into one memory-mapped file, shard by shard.

The cache of a split is a folder: the pixels of all its images, as one `.npy` file, and a record for each shard that is
whole. What was decoded before a kill is verified by SHA-256, and kept. One process decodes; others wait for it.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import UInt8
from torch import Tensor

from visionlib.data.cache import cache_folder, memory_limit, reserve_space
from visionlib.data.dataset import ImageSplit, Originals
from visionlib.data.decode import DEFAULT_SIZE_PX, Resize, describe_resizing
from visionlib.data.parquet import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    choose_column,
    largest_label,
    name_classes,
    read_labels,
    reporting_damage,
)
from visionlib.data.parquet_files import group_by_split
from visionlib.data.shard_decoding import OtherShapeError, Shape, ShardRecord, ShardTask, first_shape, read_record
from visionlib.data.shard_files import ShardFile, map_threads, open_shard, reporting_access
from visionlib.data.shard_pool import decode_shards
from visionlib.data.sources import Sources
from visionlib.errors import BrokenPicturesError, DataError
from visionlib.progress import progress_bar
from visionlib.runs import replacing
from visionlib.runs.lock import waiting_turn


@dataclass(frozen=True)
class _Footer:
    """What a shard says of itself without its rows."""

    shard: ShardFile
    rows: int
    schema: Any
    layout: str


@dataclass(frozen=True)
class SplitPlan:
    """Which rows of which shards become a split, and where it is cached.

    Attributes:
        split: its name.
        shards: its files and their numbers of rows, in order.
        names: classes of the dataset.
        image_size: as in `decode_pictures`.
        resize: as in `decode_pictures`.
        layouts: the sizes and places of the columns in each file.
    """

    split: str
    shards: tuple[tuple[ShardFile, int], ...]
    names: tuple[str, ...]
    image_size: int | None
    resize: Resize
    layouts: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of images, broken ones among them."""
        return sum(rows for _, rows in self.shards)

    @property
    def folder(self) -> Path:
        """The folder of the cache, named by a hash of everything that the images depend on."""
        files = [(shard.url, shard.version, rows) for shard, rows in self.shards]
        text = f"visionlib-shards-1 {files} {self.names} {self.image_size} {self.resize}"
        return cache_folder() / "decoded" / hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def pixels(self, shape: Shape) -> Path:
        """The file of all images, if that is their shape."""
        return self.folder / f"{'x'.join(map(str, shape))}.npy"

    def tasks(self, shape: Shape) -> list[ShardTask]:
        """List what is to be decoded."""
        tasks, first = [], 0
        for at, (shard, rows) in enumerate(self.shards):
            record = self.folder / f"{at:05}.npz"
            pixels = self.pixels(shape)
            tasks.append(ShardTask(shard, rows, first, shape, self.names, pixels, record, self.image_size, self.resize))
            first += rows
        return tasks


def load_shards(
    source: str, files: Mapping[PurePath, ShardFile], image_size: int | None, skip_broken: bool, resize: Resize
) -> tuple[dict[str, ImageSplit], list[str]]:
    """Read every split of a set of parquet files; the result is that of `load_parquet`.

    Args:
        source: as the user wrote it.
        files: of `find_shards` or `local_shards`.
        image_size: as in `decode_pictures`.
        skip_broken: as in `load_parquet`.
        resize: as in `decode_pictures`.
    Returns:
        The splits, and warnings.
    Raises:
        DataError: as `load_parquet`, and if a file cannot be reached, or changes meanwhile.
        RunError: if the cache cannot be written.
    """
    plans, warnings = plan_splits(source, files, image_size, resize)
    splits = {}
    for plan in plans:
        shape, records = _decode_split(plan)
        splits[plan.split], messages = assemble_split(plan, shape, records, skip_broken)
        warnings += messages
    return splits, warnings


def plan_splits(
    source: str, files: Mapping[PurePath, ShardFile], image_size: int | None, resize: Resize
) -> tuple[list[SplitPlan], list[str]]:
    """Read the footers of all files, many at a time, and plan their splits; also return warnings."""
    groups, warnings = group_by_split(source, files)
    footers = dict(zip(files.values(), map_threads(_read_footer, list(files.values())), strict=True))
    schemas = {split: [(shard, footers[shard].schema) for shard in shards] for split, shards in groups.items()}
    names = name_classes(schemas, _find_largest_label)
    plans = []
    for split, shards in groups.items():
        rows = tuple((shard, footers[shard].rows) for shard in shards)
        if not sum(count for _, count in rows):
            raise DataError(shards[0], "holds no row", "get it again")
        layouts = tuple(footers[shard].layout for shard in shards)
        plans.append(SplitPlan(split, rows, names, image_size, resize, layouts))
    return plans, warnings


def is_large(files: Mapping[PurePath, ShardFile], image_size: int | None) -> bool:
    """Whether local files, encoded or decoded, take more than the memory limit.

    Damaged ones do not: reading them tells what is wrong.
    """
    limit = memory_limit()
    shards = list(files.values())
    if sum(Path(str(shard)).stat().st_size for shard in shards) > limit:
        return True
    with contextlib.suppress(DataError):
        rows = sum(_read_footer(shard).rows for shard in shards)
        shape = first_shape(shards[0], image_size) or (3, DEFAULT_SIZE_PX, DEFAULT_SIZE_PX)
        return rows * int(np.prod(shape)) > limit
    return False


def _read_footer(shard: ShardFile) -> _Footer:
    with reporting_access(shard), reporting_damage(shard), open_shard(shard) as handle:
        file = pq.ParquetFile(handle)
        return _Footer(shard, file.metadata.num_rows, file.schema_arrow, _describe_layout(file.metadata))


def _describe_layout(metadata: Any) -> str:
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    places = [(one.path_in_schema, one.data_page_offset, one.total_compressed_size) for one in columns]
    return f"{metadata.num_rows} {places}"


def read_shard_labels(shard: ShardFile, names: tuple[str, ...]) -> list[int]:
    """Read the labels of a shard without its pictures, as positions in the names of the dataset."""
    with reporting_access(shard), reporting_damage(shard), open_shard(shard) as handle:
        file = pq.ParquetFile(handle)
        choose_column(file.schema_arrow, IMAGE_COLUMNS, shard)
        return read_labels(file.read(columns=[choose_column(file.schema_arrow, LABEL_COLUMNS, shard)]), shard, names)


def _find_largest_label(shard: ShardFile, column: str) -> int:
    with reporting_access(shard), reporting_damage(shard), open_shard(shard) as handle:
        return largest_label(pq.ParquetFile(handle).read(columns=[column]))


def _decode_split(plan: SplitPlan) -> tuple[Shape, list[ShardRecord]]:
    """Decode what is not decoded yet; return the shape of the images, and the records of all shards."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another process that decodes {plan.split}"
    with contextlib.ExitStack() as stack:
        with progress_bar(waiting, len(plan.shards), "shards") as show:
            turn = waiting_turn(plan.folder / "lock", lambda: show(len(list(plan.folder.glob("*.npz")))))
            stack.enter_context(turn)
        shape = find_shape(plan)
        while True:
            try:
                return shape, _decode_in_shape(plan, shape)
            except OtherShapeError as error:
                _forget(plan)
                shape = (max(shape[0], error.shape[0]), *error.shape[1:])


def find_shape(plan: SplitPlan) -> Shape:
    """Return the shape of the images in the cache, or what the first picture leads to."""
    for path in plan.folder.glob("*x*x*.npy"):
        channels, height, width = map(int, path.stem.split("x"))
        return channels, height, width
    for shard, _ in plan.shards:
        if shape := first_shape(shard, plan.image_size):
            return shape
    side = plan.image_size or DEFAULT_SIZE_PX
    return 3, side, side


def _decode_in_shape(plan: SplitPlan, shape: Shape) -> list[ShardRecord]:
    make_pixels(plan, shape)
    tasks = plan.tasks(shape)
    with progress_bar(f"decoding {plan.split}", plan.rows, "images") as show:
        found = dict(enumerate(map_threads(read_record, tasks)))
        done = sum(task.rows for at, task in enumerate(tasks) if found[at] is not None)
        show(done)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            show(done)

        decode_shards([task for at, task in enumerate(tasks) if found[at] is None], advance)
    records = [found[at] or read_record(task) for at, task in enumerate(tasks)]
    for record, task in zip(records, tasks, strict=True):
        if record is None:
            raise DataError(task.record, "was damaged as soon as it was written", "check the disk")
    return [record for record in records if record is not None]


def make_pixels(plan: SplitPlan, shape: Shape) -> None:
    """Make the file of pixels, and take its space on the disk, if it is not there."""
    path, whole = plan.pixels(shape), (plan.rows, *shape)
    with waiting_turn(plan.folder / "lock of the pixels"):
        with contextlib.suppress(OSError, ValueError):
            if np.load(path, mmap_mode="r").shape == whole:
                return
        _make_file(path, whole)


def _make_file(path: Path, whole: tuple[int, ...]) -> None:
    with replacing(path) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=whole)
        reserve_space(temporary)


def _forget(plan: SplitPlan) -> None:
    for path in [*plan.folder.glob("*.npy"), *plan.folder.glob("*.npz")]:
        path.unlink(missing_ok=True)


def map_pixels(plan: SplitPlan, shape: Shape) -> UInt8[Tensor, "n c h w"]:
    """Return all images, in memory or, if they are too large, mapped from the cache."""
    path = plan.pixels(shape)
    is_small = plan.rows * int(np.prod(shape)) <= memory_limit()
    # Copy-on-write: torch needs writable memory, and the file must not change.
    return torch.from_numpy(np.load(path, mmap_mode=None if is_small else "c"))


def assemble_split(
    plan: SplitPlan, shape: Shape, records: Sequence[ShardRecord], skip_broken: bool
) -> tuple[ImageSplit, list[str]]:
    """Make the split of the images and the records of their shards."""
    labels = torch.from_numpy(np.concatenate([record.labels for record in records]))
    sizes = torch.from_numpy(np.concatenate([record.sizes for record in records]))
    modes = tuple(mode for record in records for mode in record.modes)
    parts = [
        Sources((shard.name,), np.array([rows], dtype=np.int64), record.text, record.text_ends)
        for (shard, rows), record in zip(plan.shards, records, strict=True)
    ]
    split = ImageSplit(
        map_pixels(plan, shape),
        labels,
        plan.names,
        torch.arange(len(labels)),
        originals=Originals(sizes, modes),
        sources=Sources.join(parts),
    )
    broken = list_broken(zip(plan.tasks(shape), records, strict=True))
    if broken and (not skip_broken or len(broken) == len(split)):
        raise BrokenPicturesError(broken)
    messages = []
    if broken:
        is_whole = torch.ones(len(split), dtype=torch.bool)
        is_whole[list(broken)] = False
        split = split.subset(is_whole.nonzero().flatten())
        left_out = ", ".join(error.what for error in broken.values())
        messages = [f"pictures that cannot be read were left out, {len(broken)}: {left_out}"]
    kept = split.originals.sizes if split.originals is not None else sizes
    found = {(height, width) for height, width in torch.unique(kept, dim=0).tolist()}
    return split, describe_resizing(found, shape[1:], plan.resize) + messages


def list_broken(found: Iterable[tuple[ShardTask, ShardRecord]]) -> dict[int, DataError]:
    """Return the errors of the broken pictures, by their rows in the split."""
    errors = {}
    for task, record in found:
        for row, text in zip(record.broken.tolist(), record.problems, strict=True):
            problem, _, remedy = text.partition("\n")
            errors[task.first + row] = DataError(f"{task.shard}: row {row}", problem, remedy)
    return errors
