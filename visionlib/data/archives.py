"""Files of a folder or of a tar archive by name, streamed: nothing is extracted, links and giants are refused."""

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
"""Official CIFAR archives hold a dozen members of 184 MB in all; these bounds only stop what was made to harm."""

_GZIP_START = b"\x1f\x8b"
_CHUNK_BYTES = 2**20

# Damaged headers bring more out of tarfile than its own errors: numbers that are none, sizes that fit no index, and
# headers upon headers, which it follows by recursion.
_TAR_ERRORS = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)


class _Bounded(io.BufferedIOBase):
    """A stream that ends in an error after so many bytes: tarfile itself reads headers of any claimed size whole."""

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
    """Read files by their base name out of a folder or a `.tar.gz`, as far as they are there.

    Args:
        source: a folder, whose files are read, or an archive, which is streamed once from start to end, so that a
            gzip's checksum is compared, too.
        names: base names that are wanted; everything else is passed over.
    Returns:
        Base name -> content, for those that are there.
    Raises:
        DataError: if the archive is damaged, holds a wanted name twice, as a link, or is of absurd size; or a file
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
            found = _read_archive(stream, source, names)
            # tarfile takes a damaged header for the end, and gzip compares its checksum at the end alone.
            while stream.read(_CHUNK_BYTES):
                pass
    except _TAR_ERRORS as error:
        raise DataError(source, f"is no whole tar archive ({error})", "get it again") from error
    return found


def _read_archive(stream: _Bounded, source: Path, names: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count >= _MAX_MEMBERS:
                raise DataError(source, f"holds more than {_MAX_MEMBERS:,} members", "name an official archive")
            name = member.name.rsplit("/", 1)[-1]
            if name in names and not member.isdir():
                found[name] = _read_member(archive, member, source, is_second=name in found)
    return found


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, source: Path, *, is_second: bool) -> bytes:
    where = f"{source}: {member.name}"
    if is_second:
        raise DataError(where, "is there twice", "name an official archive")
    if not member.isreg() or member.issparse():
        raise DataError(where, "is a link, a device or sparse, not a plain file", "name an official archive")
    if member.size > _MAX_BYTES:
        raise DataError(where, f"claims {member.size:,} bytes, more than any batch has", "name an official archive")
    file = archive.extractfile(member)
    content = file.read(member.size) if file is not None else b""
    if len(content) != member.size:
        raise DataError(where, f"ends after {len(content):,} of {member.size:,} bytes", "get the archive again")
    return content


def _read_file(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise DataError(path, f"has {size:,} bytes, more than any batch has", "name an official folder")
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "let it be read, or get it again") from error
