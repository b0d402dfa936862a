"""Files of a run: written whole or not at all, and checked when read. No machine learning here."""

import contextlib
import errno
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from visionlib.errors import ConfigError, RunError

_SEAL = b"visionlib-sha256"
"""Before the digest at the end of a sealed file. Readers of zip archives and of .npy files ignore what follows."""
_DIGEST_BYTES = 32
_BLOCK_BYTES = 2**20
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
    errno.EROFS: "make the file system writable",
}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def remove_file(path: Path) -> None:
    """Remove a file of a run, if it is there.

    Raises:
        RunError: if it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        problem = f"cannot be removed ({error.strerror})"
        raise RunError(path, problem, "mend that, or remove it yourself") from error


def check_file_place(path: Path) -> None:
    """Refuse, before anything is computed, a path that no file can be written to.

    Raises:
        ConfigError: if it is a folder, or its folder is absent.
    """
    if path.is_dir():
        raise ConfigError(str(path), "is a folder", "name a file to write")
    if not path.parent.is_dir():
        raise ConfigError(str(path), f"there is no folder {path.parent}", "make it first")


def check_new_file(out: Path, *, force: bool) -> None:
    """Refuse, before anything is computed, a file that exists or cannot be written.

    Raises:
        ConfigError: the message says how to go on.
    """
    check_file_place(out)
    if out.exists() and not force:
        raise ConfigError(str(out), "exists", "choose another name, or replace it with --force")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file there replaces `path` when the block ends without an error.

    The file is flushed to disk before the rename, and its folder after it. If the block raises, the file is removed: a
    reader sees the old file or the new one, never a part of either.

    Raises:
        RunError: if the file cannot be written, as on a full disk.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _flush_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.filename is not None and not _is_in(path.parent, Path(os.fsdecode(error.filename))):
            raise  # of another file, which the block reads
        remedy = _REMEDIES.get(error.errno or 0, "check the disk, or choose another place")
        raise RunError(path, f"cannot be written ({error.strerror or error})", remedy) from error


def _is_in(folder: Path, path: Path) -> bool:
    """Whether a path is that of the folder, which is flushed too, or of a file in it."""
    return folder.absolute() in {path.absolute(), path.parent.absolute()}


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a killed writer of `path` has left."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        leftover.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def read_whole(path: Path, *, most_bytes: int) -> bytes:
    """Read a file of a run, whose size is checked first.

    Raises:
        RunError: if it cannot be read, is no file, as a folder or a pipe, or is larger.
        FileNotFoundError: if there is none.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for a writer
            raise RunError(path, "is a folder, or a file of a special kind", "restore it, or train again")
        if status.st_size > most_bytes:
            problem = f"has {status.st_size:,} bytes, more than the limit of {most_bytes:,}"
            raise RunError(path, problem, "restore it, or train again")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> RunError:
    """The error for a file that is there and cannot be read."""
    return RunError(path, f"cannot be read ({error.strerror or error})", "make it readable, or restore it")


def _flush_folder(folder: Path) -> None:
    """Flush a rename to disk, where the system opens folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system that cannot
                os.fsync(handle)
        finally:
            os.close(handle)


def seal_file(path: Path) -> None:
    """Append the SHA-256 of a file to it."""
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.write(_SEAL + digest)


def has_broken_seal(path: Path) -> bool:
    """Return whether a file is not as it was sealed; one without a seal, as by an older version, is taken as it is.

    A seal that is damaged so that it is none leaves content that is not.
    """
    length = path.stat().st_size - len(_SEAL) - _DIGEST_BYTES
    if length < 0:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, length, _BLOCK_BYTES):
            digest.update(file.read(min(_BLOCK_BYTES, length - start)))
        seal = file.read()
    return seal.startswith(_SEAL) and seal != _SEAL + digest.digest()


def _umask() -> int:
    """Return the permissions that new files lack; mkstemp ignores it, and a run may be shared."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
