"""Kill tiny trainings by SIGKILL, resume them to the end, and compare them with the uninterrupted one, bit for bit.

.venv/bin/python -m bench.chaos [--kills 500] [--seconds 1200] [--seed 0]

A kill hits a process at a random instant of its life or, each third one, inside a save: after a random number of
operations on the files of its run, in the middle of what it writes. Half of the runs have two processes. A run gets one
to six kills, each in another process, and is then resumed to its end. Right is: a resumed run has the weights, the
predictions and the history of the uninterrupted one; after each kill every file of the run is whole, or of a name that
only a writer uses; and at the end nothing but the run's files is there.

Checkpoints come after every step, so that most of a run's time is inside or between saves.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from bench import forked
from bench.disk_faults import HALT, Fault, watching
from visionlib.runs import Run, hash_file
from visionlib.runs.files import has_broken_seal

BEGIN = (*forked.TRAIN, "--epochs", "2", "--checkpoint-s", "0.000001")
MOST_KILLS = 6
"""Per run; at least one."""
UNCOMPARED = frozenset({"config.json", "training.json", "resume.pt"})
"""Files that hold times."""
LOCK = ".writer.lock"
"""Stays where a process is killed between its last record and its end, and means nothing."""


@dataclass
class Reference:
    """The uninterrupted run.

    Attributes:
        files: content of each file without times.
        seconds: time that it took.
        operations: number of operations on its files.
    """

    files: dict[str, object]
    seconds: float
    operations: int


@dataclass
class Count:
    """What was seen, for one number of processes."""

    kills: int = 0
    inside: int = 0
    runs: int = 0
    identical: int = 0
    problems: list[str] = field(default_factory=list)


def read_files(run: Path) -> dict[str, object]:
    """Read what two runs must share: every file, without its times."""
    files: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if name == "history.jsonl":
            times = {"seconds", "images_per_second"}
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            files[name] = [{key: value for key, value in line.items() if key not in times} for line in lines]
        elif path.is_file() and name != LOCK:
            files[name] = "is there" if name in UNCOMPARED else path.read_bytes()
    return files


def find_torn(run: Path) -> list[str]:
    """Return what is wrong with the files of a run whose writer was killed."""
    torn = []
    for path in run.rglob("*"):
        if path.name == LOCK or (path.name.startswith(".") and path.name.endswith(".tmp")):
            continue
        try:
            _read_whole(path)
        except Exception as error:  # of any reader
            torn.append(f"{path}: {error!r}")
    record, weights = Run(run).model, Run(run).weights
    if record.is_file() and not torn and json.loads(record.read_text())["weights_sha256"] != hash_file(weights):
        torn.append(f"{weights}: is not that of its record")
    return torn


def _read_whole(path: Path) -> None:
    if path.suffix in {".json", ".jsonl"}:
        for text in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(text)
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(broken)
    elif path.suffix == ".pt":
        if has_broken_seal(path) or not torch.load(path, weights_only=True):
            raise ValueError("no seal")
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()


class Killer:
    """Take runs of one number of processes through kills, to the end.

    Args:
        processes: of each run.
        draw: of instants.
    """

    def __init__(self, processes: int, draw: random.Random) -> None:
        self._processes, self._draw = processes, draw
        self.count = Count()
        started = time.perf_counter()
        watched = Path("operations")
        self._run([*BEGIN, "--out", f"whole{processes}"])  # caches are warm afterwards
        started = time.perf_counter()
        fault = Fault()
        codes = forked.wait(
            forked.start(
                [*BEGIN, "--out", f"again{processes}"],
                processes,
                around=lambda rank: _counting(Path(f"again{processes}"), fault, watched, rank),
            )
        )
        seconds = time.perf_counter() - started
        assert not any(codes), codes
        self.reference = Reference(
            read_files(Path(f"whole{processes}")), seconds, len(watched.read_text().splitlines())
        )
        if (again := read_files(Path(f"again{processes}"))) != self.reference.files:
            self.count.problems.append(f"two uninterrupted runs differ in {_differences(again, self.reference.files)}")

    def take(self, run: Path, kills: int) -> None:
        """Begin a run, kill it some times, each time resuming it, and compare what it ends with."""
        for _ in range(kills):
            if (run / "training.json").exists():
                break
            self._kill_once(run)
            self.count.problems += find_torn(run)
        if not (run / "training.json").exists():
            code, text = self._run(self._how_on(run))
            if code:
                self.count.problems.append(f"{run}: ended with {code}: {text[-300:]}")
        self.count.runs += 1
        files = read_files(run)
        if files == self.reference.files:
            self.count.identical += 1
            shutil.rmtree(run)
        else:
            self.count.problems.append(f"{run}: differs in {_differences(files, self.reference.files)}")

    def _kill_once(self, run: Path) -> None:
        is_inside = self._draw.random() < 1 / 3
        operation = self._draw.randrange(self.reference.operations)
        instant = self._draw.uniform(0, self.reference.seconds)
        victim = self._draw.randrange(self._processes)

        def around(rank: int) -> contextlib.AbstractContextManager[object]:
            return watching(run, Fault(operation, HALT)) if is_inside and rank == 0 else contextlib.nullcontext()

        processes = forked.start(self._how_on(run), self._processes, around=around)
        if not is_inside:
            time.sleep(instant)
            os.kill(processes[victim], 9)  # of no effect once it has ended, as nobody has waited for it yet
        codes = forked.wait(processes)
        if -9 in codes:
            self.count.kills += 1
            self.count.inside += is_inside
        elif any(codes):
            self.count.problems.append(f"{run}: ended with {codes}: {Path('output0').read_text()[-300:]}")

    def _how_on(self, run: Path) -> list[str]:
        """The command that goes on with a run; one that has no settings yet begins again, with the same command."""
        has_begun = (run / "config.json").exists()
        return ["train", "--resume", str(run)] if has_begun else [*BEGIN, "--out", str(run)]

    def _run(self, arguments: list[str]) -> tuple[int, str]:
        return forked.run(arguments, self._processes)


@contextlib.contextmanager
def _counting(run: Path, fault: Fault, to: Path, rank: int) -> Iterator[None]:
    with watching(run, fault):
        try:
            yield
        finally:
            if rank == 0:
                to.write_text("".join(f"{operation.kind} {operation.path}\n" for operation in fault.operations))


def _differences(files: dict[str, object], expected: dict[str, object]) -> list[str]:
    return [name for name in sorted(files.keys() | expected.keys()) if files.get(name) != expected.get(name)]


def main() -> int:
    """Print a line for each number of processes, and what went wrong; return whether anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500, help="end after as many")
    parser.add_argument("--seconds", type=float, default=1200, help="end after this time, with what was done")
    parser.add_argument("--seed", type=int, default=0, help="of instants and numbers of kills")
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311  no secret
    forked.save_after_every_step()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.update(VISIONLIB_KEYS=f"{folder}/keys", VISIONLIB_CACHE=f"{folder}/cache")
        os.environ.update(OMP_NUM_THREADS="1", NO_COLOR="1")
        forked.write_inputs(Path(folder))
        killers = {processes: Killer(processes, draw) for processes in (1, 2)}
        counts: Counter[int] = Counter()
        while sum(killer.count.kills for killer in killers.values()) < options.kills:
            if time.perf_counter() - started > options.seconds:
                break
            processes = 1 + (sum(counts.values()) % 2)
            counts[processes] += 1
            killers[processes].take(Path(f"run{processes}-{counts[processes]}"), draw.randint(1, MOST_KILLS))
        os.chdir("/")
    took = time.perf_counter() - started
    sys.stdout.write(f"seed {options.seed}, {took:.0f} s, torch {torch.__version__}\n")
    sys.stdout.write("processes  kills  inside a save  runs  identical\n")
    for processes, killer in killers.items():
        count = killer.count
        line = f"{processes:>9}  {count.kills:>5}  {count.inside:>13}  {count.runs:>4}  {count.identical:>9}\n"
        sys.stdout.write(line)
    problems = [problem for killer in killers.values() for problem in killer.count.problems]
    sys.stdout.writelines(f"wrong: {problem}\n" for problem in problems)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
