"""`Sources`: the file, or the file and its row, that each image of a dataset was read from."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

_KEPT_APART = "surrogatepass"
"""Python holds the bytes of a file name that is not UTF-8 as lone surrogates, which survive this way."""

_ARRAYS = ("file_ends", "text", "text_ends")
_DRIVE = re.compile(r"[A-Za-z]:")
_LEADS_OUT = re.compile(r"[\\/~]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]+://|[\w.-]+@[\w.-]+:")
"""A path from a root, a home, a drive, a URL, or a folder of another machine."""


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the images of a split were read from, by their stable ids; a few arrays, whatever their number.

    A picture's source is its path within the dataset's folder, as `train/cat/img_12.jpg`, with slashes on every system.
    A row's source is its file and its number from 0, as `data_batch_1:1234`; a name that the row holds itself follows
    in parentheses, as `train.parquet:12 (img_12.png)`. Neither is absolute, or leads out of the folder.

    Ids are positions in the source, and so a part of a split, or a split without its broken pictures, has the same
    `Sources` as the whole.

    Attributes:
        files: files whose rows are images, in order; none for pictures that are files.
        file_ends: number of rows up to the end of each file.
        text: paths, or names that rows hold, one after another in UTF-8.
        text_ends: number of bytes up to the end of each; empty if rows hold no names.
    """

    files: tuple[str, ...]
    file_ends: Int64[np.ndarray, "f"]
    text: UInt8[np.ndarray, "b"]
    text_ends: Int64[np.ndarray, "n"]

    @classmethod
    def of_files(cls, paths: Iterable[PurePosixPath | str]) -> "Sources":
        """Take the pictures' paths within the dataset's folder, in the order of the ids."""
        return cls((), np.zeros(0, dtype=np.int64), *_join(str(path) for path in paths))

    @classmethod
    def of_rows(cls, files: Sequence[tuple[str, int]], names: Sequence[str | None] = ()) -> "Sources":
        """Take the files with their numbers of rows, in the order of the ids.

        Args:
            files: path within the dataset's folder, and number of rows.
            names: that the rows hold themselves, one for each if there are any; a path that leads anywhere else is
                cut to its last part.
        """
        ends = np.cumsum([rows for _, rows in files], dtype=np.int64)
        has_names = any(names)
        return cls(
            tuple(file for file, _ in files), ends, *_join(_stay_within(name or "") for name in names if has_names)
        )

    @classmethod
    def join(cls, parts: Sequence["Sources"]) -> "Sources":
        """Put rows of files behind each other, as `of_rows` of all of them; those without names have empty ones."""
        has_names, rows, length = any(len(part.text_ends) for part in parts), 0, 0
        file_ends, text_ends = [], []
        for part in parts:
            file_ends.append(part.file_ends + rows)
            own = part.text_ends if len(part.text_ends) else np.zeros(int(part.file_ends[-1]), dtype=np.int64)
            text_ends.append(own + length)
            rows, length = int(file_ends[-1][-1]), length + len(part.text)
        ends = np.concatenate(text_ends) if has_names else np.zeros(0, dtype=np.int64)
        files = tuple(file for part in parts for file in part.files)
        return cls(files, np.concatenate(file_ends), np.concatenate([part.text for part in parts]), ends)

    def name(self, index: int) -> str | None:
        """Return the source of the image with a stable id; None for an id that no image has."""
        if index < 0:
            return None
        text = self._read_text(index)
        if not self.files:
            return text
        file = int(np.searchsorted(self.file_ends, index, side="right"))
        if file == len(self.files):
            return None
        row = index - (int(self.file_ends[file - 1]) if file else 0)
        return f"{self.files[file]}:{row} ({text})" if text else f"{self.files[file]}:{row}"

    def _read_text(self, index: int) -> str | None:
        if index >= len(self.text_ends):
            return None
        content = self.text[int(self.text_ends[index - 1]) if index else 0 : int(self.text_ends[index])].tobytes()
        try:
            return content.decode("utf-8", _KEPT_APART)
        except UnicodeDecodeError:  # in the arrays of a run that a stranger wrote
            return content.decode("utf-8", "replace")

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name; `files` is not among them."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, files: Iterable[str], arrays: Mapping[str, NDArray[Any]]) -> "Sources":
        """Make it again from `files` and `to_arrays`.

        Raises:
            KeyError: if an array is absent.
            ValueError: if they do not fit each other.
        """
        names, file_ends, text, text_ends = tuple(map(str, files)), *(arrays[name] for name in _ARRAYS)
        for ends in (file_ends, text_ends):
            if ends.ndim != 1 or ends.dtype != np.int64 or (np.diff(ends, prepend=0) < 0).any():
                raise ValueError("the ends of its names are out of order")
        if len(names) != len(file_ends) or text.dtype != np.uint8 or text.shape != (text_ends[-1:].sum(),):
            raise ValueError("its names are cut")
        return cls(names, file_ends, text, text_ends)


def name_sources(sources: Sources | None, index: Tensor) -> list[str | None]:
    """Return the source of each image by its stable id, in one list; None where it is not known."""
    ids = index.flatten().tolist()
    return [None] * len(ids) if sources is None else [sources.name(image_id) for image_id in ids]


def _join(names: Iterable[str]) -> tuple[UInt8[np.ndarray, "b"], Int64[np.ndarray, "n"]]:
    encoded = [name.encode("utf-8", _KEPT_APART) for name in names]
    ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def _stay_within(path: str) -> str:
    """Cut a path that leads out of its folder to its last part: the rest tells of the machine that wrote it."""
    parts = re.split(r"[\\/]+", path)
    if not _LEADS_OUT.match(path) and ".." not in parts:
        return path
    # The hub's library writes `zip://cat.png::/home/me/cats.zip` for a member of an archive.
    parts = re.split(r"[\\/]+", _DRIVE.sub("", path.partition("::")[0]))
    return next((part for part in reversed(parts) if part not in ("", ".", "..", "~")), "")
