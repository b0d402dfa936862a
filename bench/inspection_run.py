"""Measure the embedding map and the nearest training images at CIFAR-10's size: seconds of clock, CPU and thread.

.venv/bin/python bench/inspection_run.py [RUN]
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from visionlib.inspection.embedding_map import MapSettings, lay_out_map
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.split_embeddings import SplitEmbeddings, embed_split
from visionlib.runs import open_run

_N_TEST, _N_TRAIN, _D, _CLASSES = 10_000, 50_000, 512, 10
_THREADS = 2


def draw_embeddings(n: int, generator: torch.Generator) -> SplitEmbeddings:
    """Draw synthetic embeddings: a direction per class, noise, and a ReLU."""
    labels = torch.randint(0, _CLASSES, (n,), generator=generator)
    directions = torch.rand(_CLASSES, _D, generator=torch.Generator().manual_seed(0))
    rows = (directions[labels] + 0.4 * torch.randn(n, _D, generator=generator)).clamp(min=0).half()
    names = tuple(f"class {number}" for number in range(_CLASSES))
    return SplitEmbeddings("test", torch.arange(n), labels, labels, rows, names, "", "")


def measure(name: str, work: Callable[[], object]) -> None:
    """Print seconds on the clock, of the CPU, and of the busiest thread, where /proc exists."""
    before = _thread_seconds()
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    clock, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    busiest = max((spent - before.get(thread, 0.0) for thread, spent in _thread_seconds().items()), default=0.0)
    sys.stdout.write(f"{name:<52}{clock:8.1f}{cpu:12.1f}{busiest:16.1f}\n")
    sys.stdout.flush()


def _thread_seconds() -> dict[str, float]:
    """Return the CPU seconds of each thread of this process; empty where there is no /proc."""
    tick = os.sysconf("SC_CLK_TCK")
    spent = {}
    for path in Path("/proc/self/task").glob("*/stat"):
        fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        spent[path.parent.name] = (int(fields[11]) + int(fields[12])) / tick
    return spent


def main() -> None:
    """Measure the embeddings of a run given on the command line, or synthetic ones."""
    torch.set_num_threads(_THREADS)
    if len(sys.argv) > 1:
        run = open_run(sys.argv[1])
        test, train = embed_split(run, "test"), embed_split(run, "train")
    else:
        generator = torch.Generator().manual_seed(1)
        test, train = draw_embeddings(_N_TEST, generator), draw_embeddings(_N_TRAIN, generator)
    sys.stdout.write(f"torch {torch.__version__}, {_THREADS} threads\n")
    sys.stdout.write(f"{'seconds':<52}{'clock':>8}{'CPU':>12}{'busiest thread':>16}\n")
    sizes = f"{len(test):,} x {test.embeddings.shape[1]}"
    measure(f"nearest 5 of {len(train):,}, for {sizes}", lambda: find_nearest(test.embeddings, train.embeddings, 5))
    measure(f"map of {sizes}", lambda: lay_out_map(test, MapSettings()))


if __name__ == "__main__":
    main()
