"""Parquet files as on the Hugging Face hub: encoded pictures with labels, class names in the schema's metadata."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from visionlib.data.broken import decode_whole_pictures
from visionlib.data.dataset import ImageSplit
from visionlib.data.decode import Picture, Resize
from visionlib.data.parquet_files import group_by_split, list_parquet_files
from visionlib.data.sources import Sources
from visionlib.errors import DataError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")
_LARGEST_CLASS = 100_000
_DAMAGES = (pa.ArrowException, OSError, ValueError, KeyError, OverflowError)
"""Of a file that is cut or altered; text that is not UTF-8, as in names of columns, is a ValueError."""


def is_parquet(source: Path) -> bool:
    """Return whether a path is a parquet file, or a folder with parquet files."""
    return bool(list_parquet_files(source))


def load_parquet(
    source: Path, image_size: int | None, *, skip_broken: bool = False, resize: Resize = "crop"
) -> tuple[dict[str, ImageSplit], list[str]]:
    """Read every split of a parquet file or folder.

    The splits are told by `group_by_split`. Classes are those of the training files, in the order of the first one that
    has names; the labels of a file with another order are matched by name.

    Args:
        source: a file, or a folder of files, which may lie in its subfolder `data`, in the one that the hub names after
            a configuration, such as `plain_text`, or in one for each split.
        image_size: as in `decode_pictures`.
        skip_broken: leave out pictures that cannot be read, with a warning; the index of the others is kept.
        resize: as in `decode_pictures`.
    Returns:
        The splits, and warnings.
    Raises:
        DataError: if a file is damaged or lacks a column, or a row lacks its picture or label, or has a class that
            train lacks, or the split of a file is ambiguous.
    """
    found = list_parquet_files(source)
    files, warnings = group_by_split(source, {_within(source, path): path for path in found})
    names = _read_class_names(files)
    splits = {}
    for split, paths in files.items():
        splits[split], messages = _load_split(source, split, paths, names, image_size, skip_broken, resize)
        warnings += messages
    # Arrow keeps freed memory for its next read; training needs it.
    pa.default_memory_pool().release_unused()
    return splits, warnings


def _load_split(
    source: Path,
    split: str,
    paths: list[Path],
    names: tuple[str, ...],
    image_size: int | None,
    skip_broken: bool,
    resize: Resize,
) -> tuple[ImageSplit, list[str]]:
    pictures: list[Picture] = []
    labels: list[int] = []
    files: list[tuple[str, int]] = []
    own_names: list[str | None] = []
    for path in paths:
        with reporting_damage(path):
            table = _read_table(path)
            files.append((_within(source, path).as_posix(), len(table)))
            own_names += read_picture_names(table)
            pictures += read_pictures(table, path)
            labels += read_labels(table, path, names)
    if not pictures:
        raise DataError(paths[0], "holds no row", "get it again")

    def describe() -> str:
        return " ".join(f"{p.resolve()}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in paths)

    images, originals, warnings, kept = decode_whole_pictures(
        pictures,
        image_size=image_size,
        description=f"decoding {split}",
        describe=describe,
        skip_broken=skip_broken,
        resize=resize,
    )
    index = torch.tensor(kept)
    sources = Sources.of_rows(files, own_names)
    split_of_files = ImageSplit(images, torch.tensor(labels)[index], names, index, originals=originals, sources=sources)
    return split_of_files, warnings


def _within(source: Path, path: Path) -> Path:
    return Path(path.name) if path == source else path.relative_to(source)


@contextmanager
def reporting_damage(path: object) -> Iterator[None]:
    """Tell damage that is noticed anywhere: a page is decoded only where its values are taken."""
    try:
        yield
    except _DAMAGES as error:
        raise DataError(path, f"is no whole parquet file ({error})", "get it again") from error


def _read_table(path: Path) -> pa.Table:
    schema = pq.read_schema(path)
    columns = [choose_column(schema, IMAGE_COLUMNS, path), choose_column(schema, LABEL_COLUMNS, path)]
    # Without this a folder called `label=3` becomes a column.
    return pq.read_table(path, columns=columns, partitioning=None)


def choose_column(schema: pa.Schema, candidates: tuple[str, ...], path: object) -> str:
    """Return the first of these columns that a file has."""
    for name in candidates:
        if name in schema.names:
            return name
    raise DataError(
        path, f"has no column {' or '.join(candidates)}, only {', '.join(schema.names)}", "rename the column"
    )


def read_pictures(table: pa.Table, path: object, first_row: int = 0) -> list[Picture]:
    """Take the bytes of every row, from a column of bytes or of structs of bytes and path."""
    column = table.column(0)
    if pa.types.is_struct(column.type):
        if "bytes" not in [column.type.field(at).name for at in range(column.type.num_fields)]:
            raise DataError(path, "has pictures without a field 'bytes'", "embed the pictures in the file")
        kind = column.type.field("bytes").type
        column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks], type=kind)
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise DataError(path, f"has pictures of type {column.type}", "embed them as bytes")
    contents = column.to_pylist()
    if None in contents:
        raise DataError(
            f"{path}: row {first_row + contents.index(None)}",
            "names a picture and does not hold it",
            "embed the pictures",
        )
    return [Picture(f"{path}: row {row}", content) for row, content in enumerate(contents, first_row)]


def read_picture_names(table: pa.Table) -> list[str | None]:
    """Take the file name of every row, from the field `path` of a column of structs; None where it is absent."""
    column = table.column(0)
    fields = [column.type.field(at) for at in range(column.type.num_fields)] if pa.types.is_struct(column.type) else []
    kind = next((field.type for field in fields if field.name == "path"), None)
    if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return [None] * len(table)
    try:
        return [name for chunk in column.chunks for name in chunk.field("path").to_pylist()]
    except UnicodeDecodeError:  # parquet does not check its strings
        return [None] * len(table)


def read_labels(table: pa.Table, path: object, names: tuple[str, ...], first_row: int = 0) -> list[int]:
    """Return each row's class as a position in `names`, by its name in the file if the file has names."""
    column = table.column(-1)
    if not pa.types.is_integer(column.type):
        raise DataError(path, f"has labels of type {column.type}", "make them whole numbers from 0 on")
    own = names_in(table.schema, table.schema.names[-1]) or names
    position_of = {name: position for position, name in enumerate(names)}
    # Names that occur twice are refused later, by a message of their own.
    positions = list(range(len(names))) if own == names else [position_of.get(name) for name in own]
    labels: list[int] = []
    for row, label in enumerate(column.to_pylist(), first_row):
        if label is None or not 0 <= label < len(own):
            raise DataError(
                f"{path}: row {row}", f"has label {label} with {len(own)} classes", "fix it or drop the row"
            )
        position = positions[label]
        if position is None:
            raise DataError(
                f"{path}: row {row}", f"has a class that train lacks: {own[label]}", "rename it, or add it to train"
            )
        labels.append(position)
    return labels


def _read_class_names(files: Mapping[str, list[Path]]) -> tuple[str, ...]:
    schemas: dict[str, list[tuple[object, pa.Schema]]] = {split: [] for split in files}
    for split, path in ((split, path) for split, paths in files.items() for path in paths):
        with reporting_damage(path):
            schemas[split].append((path, pq.read_schema(path)))

    def find_largest(path: Any, column: str) -> int:
        with reporting_damage(path):
            return largest_label(pq.read_table(path, columns=[column], partitioning=None))

    return name_classes(schemas, find_largest)


def name_classes(
    schemas: Mapping[str, Sequence[tuple[object, pa.Schema]]], find_largest: Callable[[Any, str], int]
) -> tuple[str, ...]:
    """Take the names of all training files, or of the others if those have none; else the labels as text.

    Args:
        schemas: split -> files and their schemas.
        find_largest: returns the largest label in a file's column; called for files without names alone.
    """
    others = [file for split, files in schemas.items() if split != "train" for file in files]
    for files in (schemas.get("train", []), others):
        found: dict[str, None] = {}
        for path, schema in files:
            names = names_in(schema, choose_column(schema, LABEL_COLUMNS, path))
            if len(set(names)) < len(names):
                return names
            found |= dict.fromkeys(names)
        if found:
            return tuple(found)
    every = [*schemas.get("train", []), *others]
    largest = max([0, *(find_largest(path, choose_column(schema, LABEL_COLUMNS, path)) for path, schema in every)])
    if largest >= _LARGEST_CLASS:
        raise DataError(every[0][0], f"has label {largest}", f"number the classes from 0, below {_LARGEST_CLASS}")
    return tuple(str(label) for label in range(largest + 1))


def largest_label(table: pa.Table) -> int:
    """Return the largest whole number in the first column, or 0."""
    return max([0, *(value for value in table.column(0).to_pylist() if isinstance(value, int))])


def names_in(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Return the class names that a schema's metadata has for a column of labels; none if it has none."""
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"][label]["names"]
        if isinstance(names, dict):  # as some versions of the hub's library write them: {"0": "cat"}
            names = [names[key] for key in sorted(names, key=int)]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
