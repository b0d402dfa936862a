"""Parquet files on any file system that `fsspec` opens: local, in memory, S3 and others; also by patterns.

`fsspec` is imported only for a URL or a pattern, or a local set that is too large for the memory.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

from visionlib.data.parquet_files import MOST_FOLDERS
from visionlib.errors import DataError, VisionlibError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]+(://|::)")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
_MAGIC = re.compile(r"[*?\[]")
_NUMBERED = re.compile(r"(.*\D)?(\d+)-of-(\d+)(\D.*)?")
"""A shard's number, from 0, and that of all of them, as the hub's libraries write them."""
_PACKAGES: Mapping[str, str] = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp requests"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
}
_VERSIONS = (
    *("ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "Digest", "blob_id", "mtime"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "modified", "created"),
)
"""Entries of `fsspec`'s descriptions that change with a file's content; the first one there counts."""
_THREADS = 16
"""Requests at a time; most of their time is waiting."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class ShardFile:
    """One file of a dataset.

    Attributes:
        name: its path within the dataset.
        url: that `fsspec` opens, also in another process.
        version: its size, and its ETag or time of change.
    """

    name: str
    url: str
    version: str

    def __str__(self) -> str:
        return self.url.removeprefix("file://")


def is_url(name: str) -> bool:
    """Return whether a name is a URL, as `s3://bucket/set`, and no path; a drive (`C:/set`) is none."""
    return _URL.match(name) is not None


def is_pattern(name: str) -> bool:
    """Return whether a name has one of the wildcards `*`, `?` and `[`."""
    return _MAGIC.search(name) is not None


def find_shards(source: str) -> dict[PurePath, ShardFile]:
    """List the parquet files at a URL or path: the file itself, those that a pattern matches, or those of a folder.

    Args:
        source: a folder may hold them as `list_parquet_files` describes it.
    Returns:
        Path within the dataset -> file, in the order that a local folder's have.
    Raises:
        DataError: if the protocol is unknown or its package absent, nothing can be reached or matches, or a file is
            missing of those that number themselves `00003-of-00010` (not with a pattern, which asks for some).
    """
    system, place = _open_system(source)
    with reporting_access(source):
        root, found = _list_files(system, place)
        if not found:
            what = "matches no parquet file" if is_pattern(place) else "holds no parquet file"
            raise DataError(source, what, "check its spelling, and which files are there", is_usage=True)
        listed = {PurePosixPath(path[len(root) :].lstrip("/")): path for path in found}
        if not is_pattern(place):
            _check_numbers(source, listed)
        names = sorted(listed, key=_order_as_folders)
        versions = map_threads(lambda name: _describe_version(system, listed[name]), names)
    return {
        name: ShardFile(name.as_posix(), system.unstrip_protocol(listed[name]), version)
        for name, version in zip(names, versions, strict=True)
    }


def open_shard(shard: ShardFile) -> Any:
    """Open a file for reading.

    Raises:
        DataError: if it is absent, or cannot be reached.
    """
    system, place = _open_system(shard.url)
    with reporting_access(shard):
        return system.open(place, "rb")


def check_unchanged(shard: ShardFile) -> None:
    """Refuse a file that is no longer the one that was listed.

    Raises:
        DataError: if it has another size, ETag or time.
    """
    system, place = _open_system(shard.url)
    with reporting_access(shard):
        system.invalidate_cache()
        if (now := _describe_version(system, place)) != shard.version:
            problem = f"changed while it was read (it had {shard.version}, and has {now})"
            raise DataError(shard, problem, "try again when nobody writes it")


@contextmanager
def reporting_access(what: object) -> Iterator[None]:
    """Tell in a line what a file system reports: its packages have a hundred types of errors."""
    try:
        yield
    except VisionlibError:
        raise
    except FileNotFoundError as error:
        raise DataError(what, "there is no such file", "check its spelling, or put it back", is_usage=True) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(what, f"cannot be read ({reason})", "check the network, and your access to it") from error


def map_threads(work: Callable[[Any], Result], items: Sequence[Any]) -> list[Result]:
    """Call `work` for every item, for many at a time, as is good for requests over a network."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _open_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the place in it."""
    if _PASSWORD.search(url):
        shown = _PASSWORD.sub("://", url)
        raise DataError(shown, "came with a password", "leave it out, and give it to fsspec by its configuration")
    if "::" in url:
        raise DataError(url, "is a chain of file systems", "name the files themselves", is_usage=True)
    import fsspec  # not for other data

    protocol = url.partition("://")[0] if is_url(url) else "file"
    try:
        system, place = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol) or _read_package(str(error))
        remedy = f"pip install {package}" if package else "install its package"
        raise DataError(url, f"the protocol {protocol} needs a package that is not installed", remedy) from error
    except ValueError as error:
        if "not known" not in str(error).lower():
            raise DataError(url, f"cannot be opened ({error})", "check its spelling", is_usage=True) from error
        remedy = "fsspec knows file, memory, s3, gs, az, https, hf and others; check its spelling"
        raise DataError(url, f"has an unknown protocol {protocol}", remedy, is_usage=True) from error
    except Exception as error:
        raise DataError(url, f"cannot be opened ({error})", "check its spelling, and your access to it") from error
    return system, place


def _read_package(text: str) -> str | None:
    found = re.search(r"[Ii]nstall (?:the )?[\"']?([\w.\[\]-]+)", text)
    return found[1] if found else None


def _list_files(system: Any, place: str) -> tuple[str, list[str]]:
    """Return the folder that names are within, and the files."""
    if is_pattern(place):
        before = place[: _MAGIC.search(place).start()]  # type: ignore[union-attr]
        return before[: before.rfind("/") + 1], [path for path in system.glob(place) if path.endswith(".parquet")]
    place = place.rstrip("/")
    if place.endswith(".parquet") and system.isfile(place):
        return place[: place.rfind("/") + 1], [place]
    found = system.find(place, maxdepth=MOST_FOLDERS + 1)
    inside = [path for path in found if path.startswith(f"{place}/") and path.endswith(".parquet")]
    is_hidden = re.compile(r"/\.")
    return f"{place}/", [path for path in inside if not is_hidden.search(path[len(place) :])]


def _order_as_folders(path: PurePath) -> list[tuple[bool, str]]:
    """The files of a folder come before those of its folders, each by name."""
    return [*((True, part) for part in path.parts[:-1]), (False, path.name)]


def _check_numbers(source: object, names: Mapping[PurePosixPath, str]) -> None:
    """Refuse a set of numbered files with a gap."""
    numbers: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for name in names:
        if found := _NUMBERED.fullmatch(name.stem):
            before, number, total, after = found.groups(default="")
            numbers[str(name.parent), before, total, after, str(len(number))].add(int(number))
    for (parent, before, total, after, width), present in numbers.items():
        # A few of them, listed without building the whole range: the total is a stranger's.
        missing = [at for at in range(min(int(total), 10**5)) if at not in present]
        if missing:
            names_missing = [f"{before}{at:0{width}}-of-{total}{after}.parquet" for at in missing[:3]]
            more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
            where = "" if parent == "." else f"{parent}/"
            problem = f"lacks {', '.join(where + name for name in names_missing)}{more}"
            raise DataError(source, problem, "put them there, or name those that are there by a pattern (train-*)")


def _describe_version(system: Any, place: str) -> str:
    entries = system.info(place)
    version = next((f"{name} {entries[name]}" for name in _VERSIONS if entries.get(name)), "no version")
    return f"{entries.get('size')} bytes, {version}"


def local_shards(source: Path, files: Sequence[Path]) -> dict[PurePath, ShardFile]:
    """Describe files of a local dataset in the same way."""
    found: dict[PurePath, ShardFile] = {}
    for path in files:
        name, status = (Path(path.name) if path == source else path.relative_to(source)), path.stat()
        version = f"{status.st_size} bytes, mtime {status.st_mtime}"
        found[name] = ShardFile(name.as_posix(), f"file://{path.resolve().as_posix()}", version)
    return found
