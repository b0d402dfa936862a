"""Memory that is freed and wanted again; in a process of its own, whose memory nothing else has cut to pieces."""

import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("glibc's alone", allow_module_level=True)

PAGES = 10_000
"""About as many, of 4,096 bytes, as the smallest tensor has."""
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

# Larger each time, since a hole in the heap that is large enough is filled, whatever the settings are.
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


def test_freed_memory_is_used_again_and_given_back_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, meanwhile, afterwards, after_an_error = map(int, done.stdout.split())
    assert before > 5 * PAGES
    assert meanwhile < PAGES / 10
    assert afterwards > 5 * PAGES
    assert after_an_error > 5 * PAGES


GIVING_BACK = """
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


def test_kept_memory_is_given_back_when_asked() -> None:
    done = subprocess.run([sys.executable, "-c", GIVING_BACK], capture_output=True, text=True, check=True)
    used, kept, given_back = map(int, done.stdout.split())
    assert kept > used - 10_000
    assert given_back < kept - 190_000
