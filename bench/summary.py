"""Measure the layer table beside torchinfo's, which has no receptive fields: seconds, alternating, medians.

.venv/bin/python bench/summary.py
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torchinfo

from visionlib.inference.device import choose_compute
from visionlib.models import build_model
from visionlib.summary import summarize

_REPEATS = 15


def seconds(work: Callable[[], object]) -> float:
    """Time the work once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(model: str, size: tuple[int, int, int], repeats: int) -> None:
    """Print both tools' medians for a network, measured in turn."""
    network = build_model(model)
    ours: list[float] = []
    theirs: list[float] = []
    first = seconds(lambda: summarize(network, size))
    for _ in range(repeats):
        ours.append(seconds(lambda: summarize(network, size)))
        theirs.append(seconds(lambda: torchinfo.summary(network, (1, *size), verbose=0)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    a, b = statistics.median(ours), statistics.median(theirs)
    columns = f"{first:8.3f} {a:10.3f} {b:10.3f} {a / b:7.2f} {memory:9.2f}"
    sys.stdout.write(f"{f'{model} at {size[1]} px':<24}{columns}\n")


def main() -> None:
    """Measure the network of the 2020 library, and a deep one on large images."""
    sys.stdout.write(f"{choose_compute()}; torch {torch.__version__}, torchinfo {torchinfo.__version__}\n")
    sys.stdout.write(f"{'seconds':<24}   first  visionlib  torchinfo   ratio   peak GB\n")
    # The peak memory of a process never falls, so the network that needs more comes last.
    compare("resnet18", (3, 32, 32), _REPEATS)
    compare("resnet152", (3, 224, 224), 3)


if __name__ == "__main__":
    main()
