"""Let every operation on the files of a tiny run fail in turn, and see what is told, and what is left.

.venv/bin/python -m bench.failing_writes [--seconds 1200] [--every 1] [COMMAND ...]

A command is run once to count its operations on files: openings, writes, fsyncs, renames, temporary files, and changes
of names and permissions. Then, for each operation and each kind of failure (ENOSPC, EIO, EACCES, and a write that
stores half before the disk is full), it is run anew with that one failing. After it come limits on the size of files, a
folder that cannot be written (by another user than root, who may write everywhere), and full file systems in memory
(where this process may mount one). Right is:

- the command ends with one line `error: ...` of visionlib's own, or the failure does no harm and it ends with 0;
- no temporary file is left, apart from one whose removal is what fails;
- a training, resumed without the failure, or begun anew where it had written no settings, ends bit-identical to the
  uninterrupted one; another command, repeated, gives the same files.
"""

import argparse
import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench import forked
from bench.chaos import find_torn, read_files
from bench.disk_faults import SHORT, Fault, Operation, watching

TRAIN = (*forked.TRAIN, "--batch-size", "31", "--epochs", "1", "--checkpoint-s", "0.000001")
"""A run of two steps, with a checkpoint after each."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": (*TRAIN, "--out", "run"),
    "test": ("test", "run", "--predict"),
    "report": ("report", "run"),
    "explain": ("explain", "run"),
    "inspect": ("inspect", "run"),
    "summary": ("summary", "run"),
    "mistakes": ("mistakes", "run", "--picture", "run/mistakes.png"),
    "export": ("export", "run", "--to", "hub", "--out", "run/hub"),
}
"""Command -> its line; all but the first begin with a finished run."""
HOW = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short write": SHORT}
LIMITS_BYTES = (0, 100, 1_000, 2_000, 4_000, 8_000, 16_000)
"""For the size of a file; the checkpoint has about 13 kB."""
ROOMS_KB = (4, 16, 32, 48, 64)
"""Sizes of a file system in memory, whose pages are 4 kB; a finished run takes about 100 kB."""
DEFECT = "this is a defect of visionlib"
RUN, WHOLE = Path("run"), Path("whole")
Around = Callable[[int], contextlib.AbstractContextManager[object]]


@dataclass
class Count:
    """What was seen of one kind of failure."""

    told: int = 0
    harmless: int = 0
    wrong: list[str] = field(default_factory=list)


def run_watched(arguments: tuple[str, ...], around: Around) -> tuple[int, str]:
    """Run a command to its end; return its exit code and output, which goes to a pipe: files may have no room."""
    reading, writing = os.pipe()

    def piped(rank: int) -> contextlib.AbstractContextManager[object]:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        return around(rank)

    (code,) = forked.wait(forked.start(arguments, around=piped))
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as output:
        return code, output.read()


def count_operations(arguments: tuple[str, ...]) -> list[Operation]:
    """Run a command, and list its operations below the run's folder."""
    fault = Fault()

    @contextlib.contextmanager
    def around(rank: int) -> Iterator[None]:
        with watching(RUN, fault):
            try:
                yield
            finally:
                lines = [f"{operation.kind} {operation.path}\n" for operation in fault.operations]
                Path("operations").write_text("".join(lines))

    code, text = run_watched(arguments, around)
    assert code == 0, text
    return [Operation(*line.split(" ", 1)) for line in Path("operations").read_text().splitlines()]


def judge(command: str, code: int, text: str, *, expected: dict[str, object], may_leave: bool = False) -> str:
    """Return what is wrong with the end of a command that failed, and with how it goes on; empty if nothing is."""
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    if code not in {0, 1, 2} or (code and len(errors) != 1) or DEFECT in text or "Traceback" in text:
        return f"ended with {code}: {text[-400:]}"
    left = [path.name for path in RUN.rglob(".*.tmp")] if RUN.is_dir() else []
    if left and not may_leave:
        return f"left {left}"
    if torn := find_torn(RUN):
        return f"is torn: {torn}"
    if command != "train" or not (RUN / "training.json").exists():
        has_begun = command == "train" and (RUN / "config.json").exists()
        again, text = forked.run(["train", "--resume", "run"] if has_begun else COMMANDS[command])
        if again:
            return f"cannot be repeated: {text[-400:]}"
    files = read_files(RUN)
    differing = [name for name in sorted(files.keys() | expected.keys()) if files.get(name) != expected.get(name)]
    differing = [name for name in differing if not (may_leave and name.endswith(".tmp"))]
    return f"ends otherwise in {differing}" if differing else ""


class Failures:
    """Let a command fail in every way.

    Args:
        command: its name.
        every: each such operation only.
        deadline: by `time.monotonic`.
    """

    def __init__(self, command: str, every: int, deadline: float) -> None:
        self._command, self._arguments = command, COMMANDS[command]
        self._every, self._deadline = every, deadline
        self.counts: dict[str, Count] = {}
        self.is_cut = False
        self._restart()
        self.operations = count_operations(self._arguments)
        self._expected = read_files(RUN)

    def fail_each(self) -> None:
        """Let each operation fail, in each way."""
        for name, how in HOW.items():
            for at, operation in list(enumerate(self.operations))[:: self._every]:
                if how != SHORT or operation.kind == "write":
                    what = f"{name} at {operation.kind} {at} of {Path(operation.path).name}"
                    self._try(f"{operation.kind}, {name}", what, self._around(at, how), operation.kind == "change")

    def limit_sizes(self) -> None:
        """Let the size of files be limited."""
        for limit in LIMITS_BYTES:
            self._try("RLIMIT_FSIZE", f"at most {limit} bytes", lambda rank, limit=limit: _limited(limit))

    def mount(self) -> None:
        """Let the run's folder be a file system of its own: one that fills up, or, at once, one that is read-only."""
        for room in ROOMS_KB if self._command == "train" else ():
            self._try("full file system", f"of {room} kB", _unchanged, mounted=f"size={room}k")
        self._try("read-only folder", "from the beginning", _unchanged, mounted="ro")

    def _around(self, at: int, how: int | str) -> Around:
        return lambda rank: watching(RUN, Fault(at, how))

    def _restart(self, mounted: str = "") -> None:
        shutil.rmtree(RUN, ignore_errors=True)
        if mounted:
            RUN.mkdir()
            _mount("-t", "tmpfs", "-o", f"size=1M,{mounted}" if mounted != "ro" else "size=1M", "tmpfs")
        if self._command != "train":
            shutil.copytree(WHOLE, RUN, dirs_exist_ok=True)
        if mounted == "ro":
            _mount("-o", "remount,ro")

    def _try(self, kind: str, what: str, around: Around, may_leave: bool = False, mounted: str = "") -> None:
        if time.monotonic() > self._deadline:
            self.is_cut = True
            return
        self._restart(mounted)
        try:
            code, text = run_watched(self._arguments, around)
            if mounted:
                _mount("-o", "remount,rw,size=1M")
            count = self.counts.setdefault(kind, Count())
            if problem := judge(self._command, code, text, expected=self._expected, may_leave=may_leave):
                count.wrong.append(f"{self._command}: {what}: {problem}")
            elif code:
                count.told += 1
            else:
                count.harmless += 1
        finally:
            if mounted:
                _unmount()


@contextlib.contextmanager
def _limited(limit: int) -> Iterator[None]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    yield


def _unchanged(rank: int) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext()


def _mount(*words: str) -> None:
    subprocess.run(["/bin/mount", *words, str(RUN)], check=True, capture_output=True)  # noqa: S603  our own words


def _unmount() -> None:
    subprocess.run(["/bin/umount", str(RUN)], check=True)  # noqa: S603  our own words


def _can_mount() -> bool:
    try:
        RUN.mkdir()
        _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")
        _unmount()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def main() -> int:
    """Print a line for each command and kind of failure, and what went wrong; return whether anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}; by default train")
    parser.add_argument("--seconds", type=float, default=1200, help="end after this time, with what was done")
    parser.add_argument("--every", type=int, default=1, help="let each such operation fail only")
    options = parser.parse_args()
    forked.save_after_every_step()
    started, wrong, is_cut = time.monotonic(), list[str](), False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.update(VISIONLIB_KEYS=f"{folder}/keys", VISIONLIB_CACHE=f"{folder}/cache")
        os.environ.update(OMP_NUM_THREADS="1", NO_COLOR="1")
        forked.write_inputs(Path(folder))
        has_mounts = _can_mount()
        code, text = forked.run([*TRAIN, "--out", str(WHOLE)])
        assert not code, text
        for command in options.commands or ["train"]:
            failures = Failures(command, options.every, started + options.seconds)
            failures.fail_each()
            failures.limit_sizes()
            if has_mounts:
                failures.mount()
            _print_counts(command, failures)
            is_cut |= failures.is_cut
            wrong += [problem for count in failures.counts.values() for problem in count.wrong]
        os.chdir("/")
    notes = ["" if has_mounts else "; no file system may be mounted here", "; cut short" if is_cut else ""]
    sys.stdout.write(f"{time.monotonic() - started:.0f} s, torch {torch.__version__}{''.join(notes)}\n")
    sys.stdout.writelines(f"wrong: {problem}\n" for problem in wrong)
    return int(bool(wrong))


def _print_counts(command: str, failures: Failures) -> None:
    sys.stdout.write(f"{command}: {len(failures.operations)} operations\n")
    sys.stdout.write(f"  {'failure':<22}  told  harmless  wrong\n")
    for kind, count in failures.counts.items():
        sys.stdout.write(f"  {kind:<22}  {count.told:>4}  {count.harmless:>8}  {len(count.wrong):>5}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
