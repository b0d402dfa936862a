"""IDX files, the layout of MNIST and Fashion-MNIST: images and labels in separate files, each with a size header.

Source: the format as described at the end of http://yann.lecun.com/exdb/mnist/.
"""

import contextlib
import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.data.sources import Sources
from visionlib.errors import DataError

_PREFIXES = {"train": "train", "test": "t10k"}
_IMAGES = "images-idx3-ubyte"
_UNSIGNED_BYTE = 0x08
_MAX_BYTES = 4 * 2**30
"""Limit for one file; MNIST has 47 MB."""

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def is_idx_folder(folder: Path) -> bool:
    """Return whether a folder holds the training images of an IDX set, with or without `.gz`."""
    return _find(folder, "train", _IMAGES) is not None


def load_idx(folder: Path, name: str, classes: tuple[str, ...] | None = None) -> Dataset:
    """Read the four files of a folder, each with or without `.gz`; the test files are optional.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and `t10k-` likewise.
        name: name of the dataset, as the user wrote it.
        classes: class names; by default the labels as text, from "0" to the largest.
    Raises:
        DataError: if a file is absent, damaged, or of another format than its name says.
    """
    arrays = {
        split: (_read(folder, prefix, _IMAGES, 3), _read(folder, prefix, "labels-idx1-ubyte", 1))
        for split, prefix in _PREFIXES.items()
        if split == "train" or _find(folder, prefix, _IMAGES) is not None
    }
    largest = max((int(labels.max()) for _, labels in arrays.values() if len(labels)), default=0)
    names = classes or tuple(str(label) for label in range(largest + 1))
    splits = {}
    for split, (images, labels) in arrays.items():
        if len(images) != len(labels):
            raise DataError(folder, f"{split} has {len(images)} images and {len(labels)} labels", "get it again")
        if len(labels) and int(labels.max()) >= len(names):
            raise DataError(
                folder, f"{split} has label {int(labels.max())} with {len(names)} classes", "get the files again"
            )
        path = _find(folder, _PREFIXES[split], _IMAGES)
        splits[split] = ImageSplit(
            images[:, None].contiguous(),
            labels.to(torch.int64),
            names,
            torch.arange(len(labels)),
            sources=None if path is None else Sources.of_rows([(path.name, len(labels))]),
        )
    return Dataset(name, splits, names)


def _find(folder: Path, prefix: str, kind: str) -> Path | None:
    """Find a file by its official name, or with the dot that some mirrors put before `idx`."""
    for stem in (f"{prefix}-{kind}", f"{prefix}-{kind.replace('-idx', '.idx')}"):
        for suffix in ("", ".gz"):
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    return None


def _read(folder: Path, prefix: str, kind: str, dimensions: int) -> UInt8[Tensor, "..."]:
    path = _find(folder, prefix, kind)
    if path is None:
        raise DataError(folder, f"lacks {prefix}-{kind} or {prefix}-{kind}.gz", "put it there")
    try:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open("rb"))
            return _read_array(
                opened.enter_context(gzip.open(file)) if path.suffix == ".gz" else file, path, dimensions
            )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", "get it again") from error


def _read_array(file: io.BufferedIOBase, path: Path, dimensions: int) -> UInt8[Tensor, "..."]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
        raise DataError(path, f"is no IDX file of bytes in {dimensions} dimensions", "get it again")
    shape = [int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4)]
    size = math.prod(shape)
    header_size = f"its header says {' x '.join(map(str, shape))} = {size:,}"
    # A side of 0 does not make up for the others: NumPy refuses what could not be addressed, even where it is empty.
    if math.prod(max(side, 1) for side in shape) > _MAX_BYTES:
        raise DataError(path, f"{header_size} bytes, more than the limit of {_MAX_BYTES:,}", "name a smaller set")
    if 0 in shape[1:]:
        raise DataError(path, f"{header_size} bytes, images without a pixel", "get it again")
    # One byte more detects a longer file, and makes gzip verify its checksum.
    content = file.read(size + 1)
    if len(content) != size:
        actual = f"more than {size:,}" if len(content) > size else f"{len(content):,}"
        raise DataError(path, f"holds {actual} bytes and {header_size}", "get it again")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(shape).copy())
