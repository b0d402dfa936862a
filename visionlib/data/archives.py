"""Read files by name from a folder or a tar stream: nothing is extracted, links and huge files are refused."""

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from visionlib.errors import DataError

_MAX_BYTES = 512 * 2**20
_MAX_MEMBERS = 10_000
"""Official CIFAR archives hold a dozen members of 184 MB in all; these bounds only stop malicious archives."""

_GZIP_START = b"\x1f\x8b"
_CHUNK_BYTES = 2**20

# Damaged headers make tarfile raise more than its own errors: invalid numbers, sizes beyond any index, and chains of
# headers, which it follows by recursion.
_TAR_ERRORS = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)


class _Bounded(io.BufferedIOBase):
    """A stream that raises after `_MAX_BYTES`: tarfile itself reads headers of any claimed size into memory."""

    def __init__(self, stream: io.BufferedIOBase, source: Path) -> None:
        super().__init__()
        self._stream, self._source, self._left = stream, source, _MAX_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise DataError(self._source, f"unpacks to more than {_MAX_BYTES:,} bytes", "name an official archive")
        return content


def read_members(source: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read those files of a folder or a `.tar.gz` that have one of the base names.

    Args:
        source: a folder, whose files are read, or an archive, which is streamed once from start to end, so that a
            gzip's checksum is verified too.
        names: wanted base names; other files are skipped.
    Returns:
        Base name -> content, for the files that exist.
    Raises:
        DataError: if the archive is damaged, holds a wanted name twice, as a link, or is too large; or a file
            cannot be read.
    """
    if source.is_dir():
        return {name: _read_file(source / name) for name in names if (source / name).is_file()}
    try:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(source.open("rb"))
            is_packed = file.read(len(_GZIP_START)) == _GZIP_START
            file.seek(0)
            stream = _Bounded(opened.enter_context(gzip.open(file)) if is_packed else file, source)
            members = _read_archive(stream, source, names)
            # tarfile takes a damaged header for the end, and gzip verifies its checksum only at the end.
            while stream.read(_CHUNK_BYTES):
                pass
    except _TAR_ERRORS as error:
        raise DataError(source, f"is no whole tar archive ({error})", "get it again") from error
    return members


def _read_archive(stream: _Bounded, source: Path, names: Collection[str]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count >= _MAX_MEMBERS:
                raise DataError(source, f"holds more than {_MAX_MEMBERS:,} members", "name an official archive")
            name = member.name.rsplit("/", 1)[-1]
            if name in names and not member.isdir():
                members[name] = _read_member(archive, member, source, is_second=name in members)
    return members


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, source: Path, *, is_second: bool) -> bytes:
    where = f"{source}: {member.name}"
    if is_second:
        raise DataError(where, "is there twice", "name an official archive")
    if not member.isreg() or member.issparse():
        raise DataError(where, "is a link, a device or sparse, not a plain file", "name an official archive")
    if member.size > _MAX_BYTES:
        raise DataError(where, f"claims {member.size:,} bytes, more than any batch has", "name an official archive")
    file = archive.extractfile(member)
    assert file is not None  # a plain file
    return file.read(member.size)  # raises if the archive ends before


def _read_file(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise DataError(path, f"has {size:,} bytes, more than any batch has", "name an official folder")
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "allow reading it, or get it again") from error
