"""Find, verify and fetch the official archives."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from visionlib.data.cache import cache_folder, import_pooch
from visionlib.errors import DataError
from visionlib.progress import is_interactive
from visionlib.runs import hash_file


@dataclass(frozen=True)
class Archive:
    """An official archive.

    Attributes:
        url: its address.
        size: in bytes.
        sha256: of the whole file; gzip and tar detect little damage themselves.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Official:
    """A dataset with a built-in name.

    Attributes:
        archives: alternatives; the first is fetched.
        folders: names of their unpacked folders.
    """

    archives: tuple[Archive, ...]
    folders: tuple[str, ...]


_HOME = "https://www.cs.toronto.edu/~kriz"

OFFICIAL: Mapping[str, Official] = MappingProxyType(
    {
        "cifar10": Official(
            (
                Archive(
                    f"{_HOME}/cifar-10-binary.tar.gz",
                    170052171,
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                ),
                Archive(
                    f"{_HOME}/cifar-10-python.tar.gz",
                    170498071,
                    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                ),
            ),
            ("cifar-10-batches-bin", "cifar-10-batches-py"),
        ),
        "cifar100": Official(
            (
                Archive(
                    f"{_HOME}/cifar-100-binary.tar.gz",
                    168513733,
                    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                ),
                Archive(
                    f"{_HOME}/cifar-100-python.tar.gz",
                    169001437,
                    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                ),
            ),
            ("cifar-100-binary", "cifar-100-python"),
        ),
    }
)


def search_folders() -> list[Path]:
    """Return the folders that are searched for data, in order: $VISIONLIB_DATA, ./data, and the cache."""
    data_folder = os.environ.get("VISIONLIB_DATA")
    return [*([Path(data_folder)] if data_folder else []), Path("data"), cache_folder()]


def find_official(official: Official, *, download: bool) -> Path:
    """Return the path of an archive or unpacked folder of an official dataset; fetch the archive if there is none.

    Args:
        official: the dataset.
        download: fetch the first archive into the cache if nothing is found.
    Raises:
        DataError: if an archive that was found is not the official one, or none is found and none can be fetched; the
            message names the archive, its URL and the folder for it.
    """
    for folder in search_folders():
        for name in official.folders:
            if (folder / name).is_dir():
                return folder / name
        for archive in official.archives:
            if (folder / archive.name).is_file():
                return _verify(folder / archive.name, archive)
    archive = official.archives[0]
    problem = _fetch(archive) if download else "it is not on this machine and was not to be fetched"
    if problem:
        raise DataError(
            archive.name,
            problem,
            f"fetch {archive.url} ({archive.size / 1e6:.0f} MB) and put it into {search_folders()[0].resolve()}",
        )
    return _verify(cache_folder() / archive.name, archive)


def _verify(path: Path, archive: Archive) -> Path:
    sha256 = hash_file(path)
    if sha256 != archive.sha256:
        raise DataError(
            path,
            f"is damaged or incomplete: its SHA-256 is {sha256[:12]}..., the official one {archive.sha256[:12]}...",
            "delete it and try again",
        )
    return path


class _TooLongError(Exception):
    """A server sends more than the archive has; it may never end."""


class _Bounded:
    """A file that takes as many bytes as an archive has."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self.flush = file.flush

    def write(self, content: bytes) -> int:
        self._left -= len(content)
        if self._left < 0:
            raise _TooLongError
        return self._file.write(content)


def _fetch(archive: Archive) -> str | None:
    """Fetch an archive into the cache and verify it; return the problem, or None."""
    pooch = import_pooch()
    download = pooch.HTTPDownloader(progressbar=is_interactive(), timeout=30)

    def download_bounded(url: str, path: str, _: object) -> None:
        with Path(path).open("wb") as file:
            download(url, _Bounded(file, archive.size), None)

    # pooch logs its steps to stderr by default, among our own messages.
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            archive.url,
            known_hash=f"sha256:{archive.sha256}",
            fname=archive.name,
            path=cache_folder(),
            downloader=download_bounded,
        )
    except OSError as error:
        return f"is not on this machine and cannot be fetched ({error.strerror or type(error).__name__})"
    except _TooLongError:
        return f"was fetched, and is longer than the official archive of {archive.size:,} bytes"
    except ValueError:
        return "was fetched, and is not the official archive by its SHA-256"
    return None
