"""Where decoded images are kept: in memory, or beyond a stated part of it in a file that all processes share."""

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from visionlib.errors import ConfigError
from visionlib.runs import replacing

_DEFAULT_FRACTION = 0.25
_FALLBACK_MEMORY = 8 * 2**30
"""Where the system does not tell its memory, as on Windows: 8 GiB."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def cache_folder() -> Path:
    """Give the folder for downloads and decoded images: $VISIONLIB_CACHE, or the system's place for caches."""
    if folder := os.environ.get("VISIONLIB_CACHE"):
        return Path(folder)
    return Path(import_pooch().os_cache("visionlib"))


def import_pooch() -> Any:
    """Import pooch, which only downloads need, without the warning of a bar that its tqdm lacks in a notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch
    return pooch


def build_images(
    shape: tuple[int, int, int, int], fill: Callable[[Pixels], None], describe: Callable[[], str]
) -> UInt8[Tensor, "n c h w"]:
    """Make a tensor of images, in memory or, if it is too large for that, in a file built once and mapped from then on.

    Too large is more than a quarter of the machine's memory; $VISIONLIB_MEMORY_FRACTION sets another share. The file is
    written beside its place and renamed when it is whole; who builds it at the same time builds the same.

    Args:
        shape: n, c, h, w.
        fill: writes every pixel.
        describe: tells everything that the pixels depend on; the file is found by its hash.
    """
    if np.prod(shape, dtype=np.int64) <= memory_limit():
        images = np.empty(shape, dtype=np.uint8)
        fill(images)
        return torch.from_numpy(images)
    key = hashlib.sha256(f"visionlib-decoded-1 {shape} {describe()}".encode()).hexdigest()
    path = cache_folder() / "decoded" / f"{key[:32]}.npy"
    if not _is_whole(path, shape):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            fill(mapped)
            mapped.flush()
            del mapped
    # Copy-on-write: torch wants memory that it may write to, and the file must stay as it is.
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _is_whole(path: Path, shape: tuple[int, int, int, int]) -> bool:
    """Tell whether a file was built before, and nothing has damaged it since."""
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(images.shape == shape and images.dtype == np.uint8)


def memory_limit() -> int:
    """Give how many bytes of images are kept in memory.

    Raises:
        ConfigError: if $VISIONLIB_MEMORY_FRACTION is no share.
    """
    told = os.environ.get("VISIONLIB_MEMORY_FRACTION", str(_DEFAULT_FRACTION))
    try:
        fraction = float(told)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ConfigError("VISIONLIB_MEMORY_FRACTION", f"{told!r} is no share of the memory", "set it from 0 to 1")
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = _FALLBACK_MEMORY
    return int(memory * fraction)
