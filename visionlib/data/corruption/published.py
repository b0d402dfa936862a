"""`PublishedImages`: corrupted images in the files of CIFAR-10-C and its like, where a user has them.

A folder holds `labels.npy` and a file for each corruption, such as `fog.npy`: uint8 of shape (5 n, h, w, 3), the n test
images in their order at strength 1, then at strength 2, and so on. The files are mapped into memory, never unpickled.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data.corruption.corruptions import CORRUPTIONS, STRENGTHS
from visionlib.errors import DataError

_LABELS = "labels.npy"
_REMEDY = "unpack CIFAR-10-C there again"


@dataclass(frozen=True, eq=False)
class PublishedImages:
    """The files of a folder.

    Attributes:
        folder: that holds them.
        corruptions: names of the standard ones that it has, in the order of `CORRUPTIONS`.
        labels: of the images, in the order of the test split.
    """

    folder: Path
    corruptions: tuple[str, ...]
    labels: Int64[Tensor, "n"]

    def read(self, name: str, strength: int, positions: Int64[Tensor, "m"]) -> UInt8[Tensor, "m c h w"]:
        """Read the images at some positions of the test split.

        Raises:
            DataError: if the file is absent, or is not of these images.
        """
        file, n = self.folder / f"{name}.npy", len(self.labels)
        array = _open(file)
        is_images = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (1, 3)
        if not is_images or len(array) != n * len(STRENGTHS):
            kind = f"{array.dtype} of shape {array.shape}"
            raise DataError(file, f"is {kind}, not uint8 of {n * len(STRENGTHS):,} images", _REMEDY)
        rows = (strength - 1) * n + positions.numpy()
        return torch.from_numpy(array[rows]).permute(0, 3, 1, 2).contiguous()


def open_published(folder: str | Path) -> PublishedImages:
    """Look into a folder of published files.

    Raises:
        DataError: if it has no labels or no corruption, or the labels are of another kind.
    """
    folder = Path(folder)
    labels = _open(folder / _LABELS)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) % len(STRENGTHS):
        kind = f"{labels.dtype} of shape {labels.shape}"
        raise DataError(folder / _LABELS, f"is {kind}, not a whole number for each image at five strengths", _REMEDY)
    n = len(labels) // len(STRENGTHS)
    rows = np.asarray(labels).astype(np.int64).reshape(len(STRENGTHS), n)
    if (rows != rows[0]).any():
        raise DataError(folder / _LABELS, "does not repeat the labels for each strength", _REMEDY)
    standard = (name for name, entry in CORRUPTIONS.items() if entry.is_standard)
    names = tuple(name for name in standard if (folder / f"{name}.npy").is_file())
    if not names:
        raise DataError(folder, "has no file of a corruption, such as fog.npy", _REMEDY)
    return PublishedImages(folder, names, torch.from_numpy(rows[0].copy()))


def _open(file: Path) -> NDArray[Any]:
    if not file.is_file():
        raise DataError(file, "there is no such file", "name a folder that holds CIFAR-10-C", is_usage=True)
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError(file, f"is no array of numpy ({error})", _REMEDY) from error
