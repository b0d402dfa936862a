"""One writer per run: a lock that ends with its process, however that ends.

The lock is the operating system's (`flock`), on a file in the run folder. A killed process, or a machine that lost its
power, leaves the file and no lock: nothing has to be judged stale by its age, or by the number of a process, which
another one may have by now. The file's content says who holds it, for the message to the second writer.
"""

import contextlib
import datetime
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from visionlib.errors import RunError
from visionlib.runs.files import remove_leftovers
from visionlib.runs.run import Run

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_WAIT_S = 0.2


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """Hold the run's lock while the block runs; where the file system has no locks, nothing is held.

    Raises:
        RunError: if another process holds it, which the message names, or the folder cannot be written.
    """
    path = run.lock
    try:
        handle = _acquire(path)
    except BlockingIOError:
        remedy = "wait for it, or stop it; another run needs another folder (--out)"
        raise RunError(run.path, f"is being written by {_read_owner(path)}", remedy) from None
    except OSError as error:
        raise RunError(run.path, f"cannot be written ({error.strerror})", "make the folder writable") from error
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.datetime.now():%F %T}"}
        for file in run.trained_files:
            remove_leftovers(file)
        with contextlib.suppress(OSError):  # a full disk has no room for the name; the lock holds without
            os.truncate(handle, 0)
            os.pwrite(handle, json.dumps(owner).encode(), 0)
        yield
    finally:
        # Before the lock ends: afterwards it may be another process's file. The folder may have been removed, or moved.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


@contextlib.contextmanager
def waiting_turn(path: Path, while_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock on a file while the block runs; another process that holds it is waited for.

    Args:
        path: in a folder that exists; the file is made and stays.
        while_waiting: called a few times a second until it is this process's turn.
    """
    while True:
        with contextlib.suppress(BlockingIOError):
            handle = _acquire(path)
            break
        while_waiting()
        time.sleep(_WAIT_S)
    try:
        yield
    finally:
        os.close(handle)


def _acquire(path: Path) -> int:
    """Open the file and lock it; again, if its last owner has removed it between the two."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is None:
                return handle
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # a file system without locks
                return handle
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _read_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, TypeError, KeyError):  # it has ended meanwhile, or not yet written its name
        return "another process"
