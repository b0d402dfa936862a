"""Files of a run: written whole or not at all, and checked when read. No machine learning here."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from visionlib.errors import ConfigError, RunError

SCHEMA_VERSION = 1
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a record of a run.

    Raises:
        RunError: if the file is absent, damaged, or of a newer schema than this version knows.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        is_begun = (path.parent / "resume.pt").is_file()
        how = f"go on with: visionlib train --resume {path.parent}" if is_begun else "train it again"
        raise RunError(path, "the run lacks this file", f"the run did not finish; {how}") from None
    except OSError as error:
        raise unreadable(path, error) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(path, f"is damaged ({error})", "restore it, or train again") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise RunError(path, "has no schema_version", "visionlib did not write it; name another file")
    if version > SCHEMA_VERSION:
        raise RunError(
            path, f"has schema {version} and this visionlib knows up to {SCHEMA_VERSION}", "update visionlib"
        )
    return dict(record)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read records, one per line.

    Raises:
        RunError: if the file is absent or damaged.
    """
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise RunError(path, "the run lacks this file", "no epoch of it is finished; train it again") from None
    except OSError as error:
        raise unreadable(path, error) from error
    except (TypeError, ValueError) as error:
        raise RunError(path, f"is damaged ({error})", "restore it, or train again") from error


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record with its schema version, whole or not at all; NaN is refused."""
    write_bytes(path, encode_json({"schema_version": SCHEMA_VERSION, **record}, indent=2) + b"\n")


def write_json_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records, one per line, whole or not at all."""
    lines = [encode_json({"schema_version": SCHEMA_VERSION, **record}) for record in records]
    write_bytes(path, b"".join(line + b"\n" for line in lines))


def encode_json(record: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    r"""Write JSON in UTF-8; NaN is refused.

    The bytes of a file name that is not UTF-8, which Python holds as lone surrogates, become escapes like `\udce9`.
    Python reads them back as they were, so that the file can be opened.
    """
    text = json.dumps(record, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


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
