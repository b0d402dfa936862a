"""Watch every operation on the files below a folder, so that any of them can be made to fail, or to end the process.

Watched are the calls of Python's own code: `open`, writes of files that it opens, and the functions of `os` below. What
a C library writes by itself is not; limits on the size of files and full file systems reach that.
"""

import builtins
import contextlib
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = {
    **dict.fromkeys(("open",), "open"),
    **dict.fromkeys(("write", "pwrite", "truncate", "ftruncate", "sendfile"), "write"),
    **dict.fromkeys(("fsync", "fdatasync"), "fsync"),
    **dict.fromkeys(("rename", "replace", "link"), "rename"),
    **dict.fromkeys(("chmod", "mkdir", "unlink", "remove", "rmdir"), "change"),
}
"""Function of `os` -> kind of operation. `tempfile`, `pathlib` and `shutil` call these."""
TEMPORARY = ".tmp"
HALT = "kill"
SHORT = "short"


@dataclass(frozen=True)
class Operation:
    """One operation on a file.

    Attributes:
        kind: `open`, `write`, `fsync`, `rename`, `change`, or `temporary` for the opening of a new temporary file.
        path: of the file, or of the folder.
    """

    kind: str
    path: str


@dataclass
class Fault:
    """What happens at one operation, counted from 0.

    Attributes:
        at: number of the operation; none where it is negative.
        how: an `errno`; `SHORT` for a write that stores half, after which the disk is full; or `HALT`, which ends the
            process, after half of what was to be written.
        operations: all that were seen.
    """

    at: int = -1
    how: int | str = errno.ENOSPC
    operations: list[Operation] = field(default_factory=list)
    is_full: bool = False

    def meet(self, kind: str, path: str, store: Callable[[], object] = lambda: None) -> None:
        """Count an operation, and fail if it is the one; `store` writes the half of a write."""
        number = len(self.operations)
        self.operations.append(Operation(kind, path))
        if self.is_full and kind in {"write", "temporary"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if number != self.at:
            return
        if self.how == HALT:
            store()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == SHORT:
            store()
            self.is_full = True
        code = self.how if isinstance(self.how, int) else errno.ENOSPC
        raise OSError(code, os.strerror(code), path)


class _WatchedFile(io.FileIO):
    """A file whose every write is an operation."""

    def __init__(self, fault: Fault, path: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._fault, self._path = fault, path

    def write(self, content: Any, /) -> int:
        view = memoryview(content).cast("B")
        self._fault.meet("write", self._path, lambda: super(_WatchedFile, self).write(view[: len(view) // 2]))
        return super().write(content)


class _Watch:
    """Stand-ins for `open` and the functions of `os`, by which a fault meets what they do below a folder."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self._top, self._fault = os.path.realpath(folder), fault
        self.kept = {name: getattr(os, name) for name in CALLS}
        self.kept_open: Callable[..., Any] = io.open

    def _place(self, target: Any) -> str | None:
        """Return the watched path of a name or a descriptor; None for one elsewhere."""
        try:
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(os.fsdecode(target))
        except (OSError, TypeError):
            return None
        text = str(path.absolute())
        return text if text == self._top or text.startswith(f"{self._top}/") else None

    def wrap(self, name: str) -> Callable[..., Any]:
        """Return the stand-in of a function of `os`."""

        def call(target: Any, *arguments: Any, **options: Any) -> Any:
            if (path := self._place(target)) is not None:
                is_new = name == "open" and path.endswith(TEMPORARY) and arguments and arguments[0] & os.O_CREAT
                self._fault.meet("temporary" if is_new else CALLS[name], path)
            return self.kept[name](target, *arguments, **options)

        return call

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """Open a file; writes of a watched one are operations, too."""
        path = self._place(file)
        if path is not None and not isinstance(file, int):
            self._fault.meet("open", path)
        if path is None or not set(mode) & set("wax+"):
            return self.kept_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _WatchedFile(self._fault, path, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


@contextlib.contextmanager
def watching(folder: Path, fault: Fault) -> Iterator[Fault]:
    """Let a fault meet every operation below the folder while the block runs."""
    watch = _Watch(folder, fault)
    try:
        for name in CALLS:
            setattr(os, name, watch.wrap(name))
        builtins.open = io.open = watch.open
        yield fault
    finally:
        builtins.open = io.open = watch.kept_open
        for name, call in watch.kept.items():
            setattr(os, name, call)
