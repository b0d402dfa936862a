"""CIFAR-10 and CIFAR-100 in their official layouts, binary and python, as an archive or as an unpacked folder.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html, which describes both layouts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.archives import read_members
from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.data.pickles import read_pickle
from visionlib.data.sources import Sources
from visionlib.errors import DataError

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32

Batch = tuple[UInt8[Tensor, "_n 3 32 32"], Int64[Tensor, "_n"]]
"""Each batch has its own number of images."""


@dataclass(frozen=True)
class CifarLayout:
    """One official layout.

    Attributes:
        batches: split -> the files that hold it, in order.
        names_file: the file that holds the class names.
        names_key: key of the class names in it, for the python layout.
        labels_key: key of the labels in a batch, for the python layout.
        label_bytes: number of bytes before the pixels of a record, the class last, for the binary layout.
    """

    batches: Mapping[str, tuple[str, ...]]
    names_file: str
    names_key: str = ""
    labels_key: str = ""
    label_bytes: int = 0

    @property
    def is_binary(self) -> bool:
        """Whether this is the binary layout; else it is the python layout."""
        return self.label_bytes > 0

    @property
    def files(self) -> set[str]:
        """All required files."""
        return {self.names_file, *(name for names in self.batches.values() for name in names)}


LAYOUTS: tuple[CifarLayout, ...] = (
    CifarLayout(
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
        names_file="batches.meta.txt",
        label_bytes=1,
    ),
    CifarLayout(
        {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
        names_file="batches.meta",
        names_key="label_names",
        labels_key="labels",
    ),
    CifarLayout({"train": ("train.bin",), "test": ("test.bin",)}, names_file="fine_label_names.txt", label_bytes=2),
    CifarLayout(
        {"train": ("train",), "test": ("test",)},
        names_file="meta",
        names_key="fine_label_names",
        labels_key="fine_labels",
    ),
)


def is_cifar_folder(folder: Path) -> bool:
    """Return whether a folder holds the names file and the first batch of an official layout."""
    return any(all((folder / name).is_file() for name in _identifying_files(layout)) for layout in LAYOUTS)


def load_cifar(source: Path, name: str) -> Dataset:
    """Read all splits of an official archive or folder, of any layout.

    Args:
        source: the archive, or the folder that holds the batch files.
        name: name of the dataset, as the user wrote it.
    Raises:
        DataError: if the layout is none of CIFAR's, or a file is absent, damaged or of another shape.
    """
    members = read_members(source, {file for layout in LAYOUTS for file in layout.files})
    layout = next((layout for layout in LAYOUTS if _identifying_files(layout) <= members.keys()), None)
    if layout is None:
        raise DataError(source, "holds none of CIFAR's official layouts", "name a CIFAR archive or its unpacked folder")
    if missing := sorted(layout.files - members.keys()):
        raise DataError(source, f"lacks {', '.join(missing)}", "get it again")
    read_names, read_batch = (_read_text_names, _read_records) if layout.is_binary else (_read_names, _read_batch)
    classes = read_names(members[layout.names_file], layout, f"{source}: {layout.names_file}")
    splits = {}
    for split, files in layout.batches.items():
        batches = [read_batch(members[file], layout, f"{source}: {file}") for file in files]
        for file, (_, labels) in zip(files, batches, strict=True):
            if len(labels) and (largest := int(labels.max())) >= len(classes):
                raise DataError(f"{source}: {file}", f"has label {largest} with {len(classes)} classes", "get it again")
        sources = Sources.of_rows([(file, len(labels)) for file, (_, labels) in zip(files, batches, strict=True)])
        splits[split] = _join(batches, classes, sources)
    return Dataset(name, splits, classes)


def _identifying_files(layout: CifarLayout) -> set[str]:
    """The files that identify a layout: no other has both."""
    return {layout.names_file, layout.batches["train"][0]}


def _join(batches: list[Batch], classes: tuple[str, ...], sources: Sources) -> ImageSplit:
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return ImageSplit(images, labels, classes, torch.arange(len(labels)), sources=sources)


def _read_text_names(content: bytes, layout: CifarLayout, what: str) -> tuple[str, ...]:
    names = tuple(line.strip() for line in _decode_name(content, what).splitlines() if line.strip())
    if not names:
        raise DataError(what, "holds no class name", "get it again")
    return names


def _read_records(content: bytes, layout: CifarLayout, what: str) -> Batch:
    """Read records of one or two label bytes, then 1024 bytes each of red, green and blue, row by row."""
    size = layout.label_bytes + _PIXELS
    if len(content) % size:
        raise DataError(what, f"has {len(content):,} bytes, no whole number of {size}-byte records", "get it again")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    labels = records[:, layout.label_bytes - 1].astype(np.int64)
    images = records[:, layout.label_bytes :].reshape(-1, *_SHAPE).copy()
    return torch.from_numpy(images), torch.from_numpy(labels)


def _read_names(content: bytes, layout: CifarLayout, what: str) -> tuple[str, ...]:
    names = _entry(read_pickle(content, what), layout.names_key, what)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(what, f"{layout.names_key} is no list of names", "get the official file again")
    return tuple(name if isinstance(name, str) else _decode_name(name, what) for name in names)


def _decode_name(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(what, "has class names that are not UTF-8", "get the official file again") from error


def _read_batch(content: bytes, layout: CifarLayout, what: str) -> Batch:
    """Read a dict with `data`, one row of 3072 bytes per image as in the binary layout, and its labels."""
    batch = read_pickle(content, what)
    data, labels = _entry(batch, "data", what), _entry(batch, layout.labels_key, what)
    if not isinstance(data, np.ndarray) or data.shape[1:] != (_PIXELS,):
        raise DataError(what, f"data is no array of rows of {_PIXELS} bytes", "get the official file again")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 2**31 for label in labels):
        raise DataError(what, f"{layout.labels_key} is no list of class numbers", "get the official file again")
    if len(labels) != len(data):
        raise DataError(what, f"has {len(data)} images and {len(labels)} labels", "get the official file again")
    images = np.array(data.reshape(-1, *_SHAPE), order="C")
    return torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64)


def _entry(batch: Any, key: str, what: str) -> Any:
    """Look a key up that Python 2 wrote as bytes and Python 3 as text."""
    lookup: Callable[[Any], Any] = batch.get if isinstance(batch, dict) else lambda key: None
    value = lookup(key.encode())
    value = lookup(key) if value is None else value
    if value is None:
        raise DataError(what, f"holds no {key!r}", "get the official file again")
    return value
