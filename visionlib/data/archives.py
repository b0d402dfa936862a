"""Files of a folder or of a tar archive by name, streamed: nothing is extracted, links and giants are refused."""

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from visionlib.errors import DataError

_MAX_MEMBER_BYTES = 512 * 2**20
_MAX_MEMBERS = 10_000
"""Official CIFAR archives hold a dozen members of at most 154 MB; these bounds only stop what was made to harm."""


def read_members(source: Path, names: Collection[str]) -> dict[str, bytes]:
    """Read files by their base name out of a folder or a `.tar.gz`, as far as they are there.

    Args:
        source: a folder, whose files are read, or an archive, which is streamed once from start to end.
        names: base names that are wanted; everything else is passed over.
    Returns:
        Base name -> content, for those that are there.
    Raises:
        DataError: if the archive is damaged, holds a wanted name twice, as a link, or of absurd size.
    """
    if source.is_dir():
        return {name: (source / name).read_bytes() for name in names if (source / name).is_file()}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(source, mode="r|*") as archive:
            for count, member in enumerate(archive):
                if count >= _MAX_MEMBERS:
                    raise DataError(source, f"holds more than {_MAX_MEMBERS:,} members", "name an official archive")
                name = member.name.rsplit("/", 1)[-1]
                if name in names:
                    found[name] = _read_member(archive, member, source, is_second=name in found)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(source, f"is no whole tar archive ({error})", "get it again") from error
    return found


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, source: Path, *, is_second: bool) -> bytes:
    where = f"{source}: {member.name}"
    if is_second:
        raise DataError(where, "is there twice", "name an official archive")
    if not member.isreg():
        raise DataError(where, "is a link or a device, not a file", "name an official archive")
    if member.size > _MAX_MEMBER_BYTES:
        raise DataError(where, f"claims {member.size:,} bytes, more than any batch has", "name an official archive")
    file = archive.extractfile(member)
    content = file.read(member.size) if file is not None else b""
    if len(content) != member.size:
        raise DataError(where, f"ends after {len(content):,} of {member.size:,} bytes", "get the archive again")
    return content
