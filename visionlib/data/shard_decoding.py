"""One shard, decoded into its rows of a file of pixels, and the record that tells that they are whole.

Requirements:
- A process may be killed at any time: a record is written after the pixels that it is of, and holds their SHA-256.
- Two processes that decode a shard write the same bytes to the same place.
- Memory: one row group of the shard, whatever its size.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64, UInt8

from visionlib.data.decode import (
    DEFAULT_SIZE_PX,
    QUIET,
    Header,
    Picture,
    Resize,
    choose_size,
    decode_picture,
    read_header,
)
from visionlib.data.parquet import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    choose_column,
    read_labels,
    read_picture_names,
    read_pictures,
    reporting_damage,
)
from visionlib.data.shard_files import ShardFile, check_unchanged, open_shard, reporting_access
from visionlib.data.sources import Sources
from visionlib.errors import DataError
from visionlib.runs import replacing
from visionlib.runs.arrays import ARRAY_DAMAGES
from visionlib.runs.files import has_broken_seal, seal_file

_ROWS = 512
"""Rows that are decoded at a time."""
_READ_BYTES = 2**20

Shape = tuple[int, int, int]
"""Channels, height and width."""


class OtherShapeError(Exception):
    """A shard shows that all images of its split must be stored in another shape.

    Args:
        shape: as far as this shard tells.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(f"{shape}")
        self.shape = shape


@dataclass(frozen=True)
class ShardTask:
    """What one shard needs to be decoded, in any process.

    Attributes:
        shard: its file.
        rows: number of its rows.
        first: position of its first row in the file of pixels.
        shape: of all images of the split.
        names: classes of the dataset.
        pixels: the file of pixels, which exists with its whole size.
        record: the file that tells that the shard is decoded.
        image_size: that the user asked for.
        resize: as in `decode_pictures`.
    """

    shard: ShardFile
    rows: int
    first: int
    shape: Shape
    names: tuple[str, ...]
    pixels: Path
    record: Path
    image_size: int | None
    resize: Resize


@dataclass(frozen=True, eq=False)
class ShardRecord:
    """The metadata of a decoded shard; arrays have an entry for each row, broken pictures among them.

    Attributes:
        labels: positions in the classes of the dataset.
        sizes: height and width of each picture; zeros for one that is broken.
        modes: mode of each picture, as `Originals` writes it.
        broken: rows that cannot be decoded, whose pixels are zeros.
        problems: what is wrong with each of those.
        text: names that the rows hold, see `Sources`.
        text_ends: of them.
        sha256: of the pixels.
    """

    labels: Int64[np.ndarray, "n"]
    sizes: Int64[np.ndarray, "n 2"]
    modes: tuple[str, ...]
    broken: Int64[np.ndarray, "b"]
    problems: tuple[str, ...]
    text: UInt8[np.ndarray, "t"]
    text_ends: Int64[np.ndarray, "e"]
    sha256: str


def first_shape(shard: ShardFile, image_size: int | None) -> Shape | None:
    """Return the shape of images that the first whole picture of a shard leads to; None without one."""
    for pictures, _, _ in _read_batches(shard, 16, ()):
        for picture in pictures:
            with QUIET, contextlib.suppress(DataError):
                header = read_header(picture)
                decode_picture(picture, (header.height, header.width), 3, "crop")
                (height, width), _ = choose_size({(header.height, header.width)}, image_size)
                return 1 if header.is_grayscale else 3, height, width
    return None


def decode_shard(task: ShardTask, advance: Callable[[int], None] = lambda rows: None) -> None:
    """Decode a shard into its rows of the file of pixels, and write its record.

    Args:
        task: the shard.
        advance: takes the number of rows that were decoded since the last call.
    Raises:
        OtherShapeError: if a picture shows that the images of the split have another shape.
        DataError: if the file is absent, damaged or changed, or lacks a column, or has a class that train lacks.
    """
    labels: list[int] = []
    names: list[str | None] = []
    headers: list[Header | None] = []
    problems: dict[int, str] = {}
    digest = hashlib.sha256()
    with task.pixels.open("rb+") as file:
        file.seek(_start_of(task))
        for pictures, batch_labels, batch_names in _read_batches(task.shard, _ROWS, task.names):
            pixels = np.zeros((len(pictures), *task.shape), dtype=np.uint8)
            for image, picture in zip(pixels, pictures, strict=True):
                header, problem = _decode_into(image, picture, task)
                headers.append(header)
                if problem:
                    problems[len(headers) - 1] = problem
            labels += batch_labels
            names += batch_names
            if len(labels) > task.rows:
                break  # it would write over the next shard's rows
            digest.update(pixels.data)
            file.write(pixels.data)
            advance(len(pictures))
        file.flush()
        os.fsync(file.fileno())
    if len(labels) != task.rows:
        problem = f"has {len(labels)} rows, and its footer says {task.rows}"
        raise DataError(task.shard, problem, "get it again")
    check_unchanged(task.shard)
    _write_record(task, labels, names, headers, problems, digest.hexdigest())


def read_record(task: ShardTask) -> ShardRecord | None:
    """Return the record of a shard if that is whole, and so are its pixels; else None."""
    try:
        if has_broken_seal(task.record):
            return None
        with task.record.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            values: dict[str, Any] = dict(arrays.items())
        texts = {name: tuple(values[name].tolist()) for name in ("modes", "problems")}
        record = ShardRecord(**{**values, **texts, "sha256": str(values["sha256"])})
    except (OSError, *ARRAY_DAMAGES):
        return None
    digest, rest = hashlib.sha256(), task.rows * int(np.prod(task.shape))
    with task.pixels.open("rb") as pixels:
        pixels.seek(_start_of(task))
        while rest and (content := pixels.read(min(rest, _READ_BYTES))):
            digest.update(content)
            rest -= len(content)
    return record if len(record.labels) == task.rows and record.sha256 == digest.hexdigest() else None


def _start_of(task: ShardTask) -> int:
    """Return the byte at which the shard's pixels start, behind the header of the `.npy` file."""
    with task.pixels.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell() + task.first * int(np.prod(task.shape))


def _read_batches(
    shard: ShardFile, rows: int, classes: tuple[str, ...]
) -> Iterator[tuple[list[Picture], list[int], list[str | None]]]:
    """Yield pictures, labels and names of some rows at a time; without classes no labels are read."""
    first = 0
    with reporting_access(shard), reporting_damage(shard), open_shard(shard) as handle:
        file = pq.ParquetFile(handle)
        schema = file.schema_arrow
        columns = [choose_column(schema, kind, shard) for kind in (IMAGE_COLUMNS, LABEL_COLUMNS)]
        for batch in file.iter_batches(rows, columns=columns):
            table = pa.Table.from_batches([batch], schema=batch.schema.with_metadata(schema.metadata)).select(columns)
            labels = read_labels(table, shard, classes, first) if classes else []
            yield read_pictures(table, shard, first), labels, read_picture_names(table)
            first += len(table)


def _decode_into(image: UInt8[np.ndarray, "c h w"], picture: Picture, task: ShardTask) -> tuple[Header | None, str]:
    """Decode a picture; return its header, or None and what is wrong with it."""
    channels, height, width = task.shape
    with QUIET:
        try:
            header = read_header(picture)
            pixels = decode_picture(picture, (height, width), channels, task.resize)
        except DataError as error:
            return None, f"{error.problem}\n{error.remedy}"
    size, default = (header.height, header.width), (DEFAULT_SIZE_PX, DEFAULT_SIZE_PX)
    # Pictures of a second size show that none keeps its own; one in color, that all have three channels.
    if task.image_size is None and size != (height, width) != default:
        raise OtherShapeError((channels if header.is_grayscale else 3, *default))
    if channels == 1 and not header.is_grayscale:
        raise OtherShapeError((3, height, width))
    image[...] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return header, ""


def _write_record(
    task: ShardTask,
    labels: list[int],
    names: list[str | None],
    headers: list[Header | None],
    problems: dict[int, str],
    sha256: str,
) -> None:
    sources = Sources.of_rows([(task.shard.name, task.rows)], names)
    record = {
        "labels": np.array(labels, dtype=np.int64),
        "sizes": np.array([(0, 0) if one is None else (one.height, one.width) for one in headers], dtype=np.int64),
        "modes": np.array(["" if one is None else one.mode for one in headers], dtype=np.str_),
        "broken": np.array(list(problems), dtype=np.int64),
        "problems": np.array(list(problems.values()), dtype=np.str_),
        "text": sources.text,
        "text_ends": sources.text_ends,
        "sha256": np.array(sha256),
    }
    record["sizes"] = record["sizes"].reshape(-1, 2)
    with replacing(task.record) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **record)
        seal_file(temporary)
