"""Freed memory is kept for the next allocation; tested in a fresh process, whose heap is not fragmented."""

import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("glibc's alone", allow_module_level=True)

PAGES = 10_000
"""Of 4,096 bytes, in the smallest tensor."""
PROGRAM = """
import resource, torch
from visionlib.inference.memory import kept_memory

def count_faults(elements):
    for _ in range(20):
        torch.ones(elements)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(elements)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# Larger each time, since a free block that is large enough is used again in any case.
print(count_faults(10_000_000))
with kept_memory():
    print(count_faults(10_000_000))
print(count_faults(30_000_000))
try:
    with kept_memory():
        raise OSError
except OSError:
    print(count_faults(40_000_000))
"""


def test_freed_memory_is_used_again_in_the_block_and_returned_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, inside, afterwards, after_an_error = map(int, done.stdout.split())
    assert before > 5 * PAGES
    assert inside < PAGES / 10
    assert afterwards > 5 * PAGES
    assert after_an_error > 5 * PAGES


RELEASE = """
import torch
from visionlib.inference.memory import release_memory, kept_memory

def resident_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

with kept_memory():
    block = torch.ones(50_000_000)
    used = resident_kb()
    del block
    kept = resident_kb()
    release_memory()
    print(used, kept, resident_kb())
"""


def test_release_memory_returns_kept_memory() -> None:
    done = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True, check=True)
    used, kept, released = map(int, done.stdout.split())
    assert kept > used - 10_000
    assert released < kept - 190_000
