"""Give damaged inputs to every reader of what strangers write; nothing but visionlib's own errors may come out.

.venv/bin/python -m bench.fuzz [--seconds 60] [--reader NAME ...] [--seed 0] [--keep FOLDER]

Each reader runs in a process of its own for this time. Where the package `atheris` is installed (`pip install
atheris`), libFuzzer mutates inputs and keeps those that reach new branches of visionlib and of the modules of the
standard library that parse for it; half of the mutations know JSON and zip archives. Without it the same mutations are
drawn blindly. Inputs begin from small valid ones and from `tests/fuzz_corpus`.

Printed are, per reader: inputs, exceptions of other types than visionlib's own ("uncaught"; of each place the first
input is kept in FOLDER), the slowest input, and the growth of the process's memory.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.mutation import mutate

CORPUS = Path(__file__).parents[1] / "tests" / "fuzz_corpus"
LIMITS = ("-rss_limit_mb=4000", "-timeout=30", "-len_control=0", "-max_len=65536", "-print_final_stats=0")
INSTRUMENTED = ["visionlib", "tarfile", "zipfile", "gzip", "pickletools", "tomllib", "csv", "json", "PIL", "numpy.lib"]
_SAVE_INTERVAL_S = 1.0


@dataclass
class Record:
    """What was seen of one reader.

    Attributes:
        inputs: number of inputs that were read.
        read: of them, those that were valid.
        uncaught: place and type of an exception that is not visionlib's own -> number.
        slowest_s: longest time for an input.
        memory_mb: growth of the process's largest memory over all inputs.
    """

    inputs: int = 0
    read: int = 0
    uncaught: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    memory_mb: float = 0.0


class Watcher:
    """Call a reader, and record how it ends.

    Args:
        read: the reader.
        error: of visionlib.
        keep: folder for inputs with uncaught exceptions, and for the record.
    """

    def __init__(self, read: Callable[[bytes], object], error: type[Exception], keep: Path) -> None:
        self._read, self._error, self._keep = read, error, keep
        self.record = Record()
        self._memory, self._saved = _peak_mb(), 0.0

    def __call__(self, content: bytes) -> None:
        """Read one input."""
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._read(bytes(content))
            self.record.read += 1
        except self._error:
            pass
        except Exception as error:
            self._note(error, content)
        now = time.perf_counter()
        self.record.inputs += 1
        if now - started > self.record.slowest_s:
            self.record.slowest_s = now - started
            if self.record.slowest_s > 1:
                (self._keep / "slowest").write_bytes(content)
        if now - self._saved > _SAVE_INTERVAL_S:
            self._saved = now
            self.save()

    def _note(self, error: Exception, content: bytes) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "visionlib" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside"
        kind = f"{type(error).__name__} at {where}"
        self.record.uncaught[kind] += 1
        if self.record.uncaught[kind] == 1:
            (self._keep / kind.replace(" ", "-").replace(":", "-")).write_bytes(content)

    def save(self) -> None:
        """Write the record, for the process that started this one; libFuzzer ends it without return."""
        self.record.memory_mb = _peak_mb() - self._memory
        temporary = self._keep / "record.tmp"
        temporary.write_text(json.dumps(vars(self.record)))
        temporary.replace(self._keep / "record.json")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def list_inputs(name: str, seeds: list[bytes]) -> list[bytes]:
    """Return a reader's valid inputs, and those of the corpus."""
    folder = CORPUS / name
    return [*seeds, *(path.read_bytes() for path in sorted(folder.glob("*")))]


@contextlib.contextmanager
def _instrumented(atheris: Any) -> Iterator[None]:
    if atheris is None:
        yield
    else:
        with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
            yield


def fuzz_reader(name: str, seconds: float, seed: int, keep: Path) -> None:
    """Fuzz one reader in this process, for a time; may not return."""
    atheris: Any = None
    if importlib.util.find_spec("atheris"):
        import torch  # noqa: F401  uninstrumented

        atheris = importlib.import_module("atheris")
    with _instrumented(atheris):
        from bench.fuzz_readers import READERS
        from visionlib.errors import VisionlibError
    draw = random.Random(seed)  # noqa: S311  no secret
    scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
    try:
        watcher = Watcher(READERS[name].prepare(scratch), VisionlibError, keep)
        inputs = list_inputs(name, READERS[name].seeds())
        for content in inputs:
            watcher(content)
        watcher.save()
        if atheris is not None:
            corpus = keep / "corpus"
            corpus.mkdir(exist_ok=True)
            for number, content in enumerate(inputs):
                (corpus / f"seed{number}").write_bytes(content)
            words = [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}", f"-artifact_prefix={keep}/"]

            def change(content: bytes, largest: int, seed: int) -> bytes:
                chosen = random.Random(seed)  # noqa: S311  no secret
                return mutate(content, chosen, lambda part: bytes(atheris.Mutate(part, largest)))[:largest]

            atheris.Setup(["fuzz", *LIMITS, *words, str(corpus)], watcher, custom_mutator=change)
            atheris.Fuzz()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            watcher(mutate(draw.choice(inputs), draw))
        watcher.save()
    finally:
        import shutil

        shutil.rmtree(scratch, ignore_errors=True)


def main() -> int:
    """Print a line for each reader; return whether anything was uncaught, or a process ended by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--reader", action="append", help="of bench/fuzz_readers.py; by default all")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations")
    parser.add_argument("--keep", type=Path, help="folder for inputs that were not caught")
    parser.add_argument("--within", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.within:
        fuzz_reader(options.within, options.seconds, options.seed, options.keep)
        return 0
    from bench.fuzz_readers import READERS

    way = "atheris" if importlib.util.find_spec("atheris") else "blind mutations"
    sys.stdout.write(f"{way}, seed {options.seed}, {options.seconds:g} s for each reader\n")
    sys.stdout.write(f"{'reader':<16}  {'inputs':>9}  {'valid':>9}  uncaught  slowest  memory\n")
    is_wrong = False
    with tempfile.TemporaryDirectory() as folder:
        for name in options.reader or READERS:
            keep = (options.keep or Path(folder)) / name
            keep.mkdir(parents=True, exist_ok=True)
            is_wrong |= _fuzz_apart(name, keep.resolve(), options)
    return int(is_wrong)


def _fuzz_apart(name: str, keep: Path, options: argparse.Namespace) -> bool:
    """Fuzz a reader in a process of its own, and print its line."""
    words = ["--within", name, "--seconds", str(options.seconds), "--seed", str(options.seed), "--keep", str(keep)]
    command = [sys.executable, "-m", "bench.fuzz", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)  # noqa: S603
    record = json.loads((keep / "record.json").read_text())
    uncaught = sum(record["uncaught"].values())
    sys.stdout.write(
        f"{name:<16}  {record['inputs']:>9,}  {record['read']:>9,}  {uncaught:>8}  {record['slowest_s']:>5.2f} s"
        f"  {record['memory_mb']:>3.0f} MB\n"
    )
    for kind, count in record["uncaught"].items():
        sys.stdout.write(f"  uncaught: {kind}: {count}\n")
    if done.returncode:
        sys.stdout.write(f"  ended with {done.returncode}: {done.stderr[-1500:]}\n")
    sys.stdout.flush()
    return bool(uncaught or done.returncode)


if __name__ == "__main__":
    sys.exit(main())
