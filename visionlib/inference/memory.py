"""Freed memory is kept, since the next batch needs the same amount again."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
"""Constants of mallopt in malloc.h."""
_DEFAULTS = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 1024}
_KEEP_ALL = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Make glibc keep freed memory while the block runs, then return all of it to the system.

    By default glibc returns each block over 32 MB to the system when it is freed. The next step then gets new pages,
    which the system zeroes, one page fault each: hundreds of thousands in a step with large batches.
    Other C libraries are not changed.

    Source: mallopt(3); measured in docs/experiments.md.
    """
    library = _find_glibc()
    if library is None:
        yield
        return
    # Memory freed after loading and decoding is returned first.
    library.malloc_trim(0)
    for name, value in _KEEP_ALL.items():
        library.mallopt(name, value)
    try:
        yield
    finally:
        for name, value in _DEFAULTS.items():
            library.mallopt(name, value)
        library.malloc_trim(0)


def release_memory() -> None:
    """Return freed memory to the system, with glibc, before batches of another size."""
    library = _find_glibc()
    if library is not None:
        library.malloc_trim(0)


def _find_glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # Other C libraries, such as musl, have neither the function nor the problem.
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
