"""Storage of decoded images: in memory, or, if too large, in a memory-mapped file that all processes share."""

import contextlib
import errno
import hashlib
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.errors import ConfigError
from visionlib.runs import replacing
from visionlib.runs.arrays import ARRAY_DAMAGES
from visionlib.runs.files import has_broken_seal, seal_file

_DEFAULT_FRACTION = 0.25
_FALLBACK_MEMORY = 8 * 2**30
"""8 GiB, where the system does not report its memory, as on Windows."""
_BLOCK = 4096
"""Images that are copied at a time."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def cache_folder() -> Path:
    """Return the folder for downloads and decoded images: $VISIONLIB_CACHE, or the system's cache folder."""
    if folder := os.environ.get("VISIONLIB_CACHE"):
        return Path(folder)
    return Path(import_pooch().os_cache("visionlib"))


def import_pooch() -> Any:
    """Import pooch, which only downloads need, without the warning that tqdm lacks ipywidgets in a notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch
    return pooch


def build_images(
    shape: tuple[int, int, int, int], fill: Callable[[Pixels], None], describe: Callable[[], str]
) -> UInt8[Tensor, "n c h w"]:
    """Make a tensor of images in memory or, if it is too large, in a memory-mapped file that is built once.

    Too large is more than a quarter of the memory, see `memory_limit`. The file is written beside its final path and
    renamed when complete; processes that build it at the same time write the same.

    Args:
        shape: n, c, h, w.
        fill: writes every pixel.
        describe: returns a text of everything that the pixels depend on; its hash names the file.
    """
    if np.prod(shape, dtype=np.int64) <= memory_limit():
        images = np.empty(shape, dtype=np.uint8)
        fill(images)
        return torch.from_numpy(images)
    key = hashlib.sha256(f"visionlib-decoded-2 {shape} {describe()}".encode("utf-8", "surrogatepass")).hexdigest()
    path = cache_folder() / "decoded" / f"{key[:32]}.npy"
    if not _is_whole(path, shape):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            reserve_space(temporary)
            fill(mapped)
            mapped.flush()
            del mapped
            seal_file(temporary)
    # Copy-on-write: torch needs writable memory, and the file must not change.
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def take_images(
    images: UInt8[Tensor, "n c h w"], positions: Int64[Tensor, "k"], describe: Callable[[], str]
) -> UInt8[Tensor, "k c h w"]:
    """Take images at positions, into memory or, if they are too many, into a memory-mapped file, as `build_images`.

    Args:
        images: on any device; what lies on a GPU stays there.
        positions: in the order of the result.
        describe: returns a text of everything that the pixels of `images` depend on.
    """
    shape = (len(positions), *images.shape[1:])
    if images.device.type != "cpu" or np.prod(shape, dtype=np.int64) <= memory_limit():
        return images[positions]

    def fill(taken: Pixels) -> None:
        for start in range(0, len(positions), _BLOCK):
            taken[start : start + _BLOCK] = images[positions[start : start + _BLOCK]].numpy()

    places = hashlib.sha256(positions.numpy().astype("<i8").tobytes())
    return build_images(shape, fill, lambda: f"images {places.hexdigest()} of {describe()}")


def reserve_space(path: Path) -> None:
    """Take the disk space of a sparse file now: on a full disk, a write to mapped memory would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise


def _is_whole(path: Path, shape: tuple[int, int, int, int]) -> bool:
    """Return whether a complete, undamaged file exists."""
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, *ARRAY_DAMAGES):
        return False
    return bool(images.shape == shape and images.dtype == np.uint8) and not has_broken_seal(path)


def memory_limit() -> int:
    """Return the number of bytes up to which images are kept in memory: a quarter of it.

    It is the machine's memory or, if that is less, the limit of this process or of its container (cgroup).
    $VISIONLIB_MEMORY_FRACTION sets another fraction.

    Raises:
        ConfigError: if $VISIONLIB_MEMORY_FRACTION is not a fraction.
    """
    value = os.environ.get("VISIONLIB_MEMORY_FRACTION", str(_DEFAULT_FRACTION))
    try:
        fraction = float(value)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ConfigError("VISIONLIB_MEMORY_FRACTION", f"{value!r} is not a fraction of the memory", "set 0 to 1")
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = _FALLBACK_MEMORY
    return int(min(memory, *_list_limits()) * fraction)


def _list_limits(
    membership: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> tuple[float, ...]:
    """List the limits of memory that this process has, in bytes; infinity if there is none.

    Args:
        membership: the control groups of the process, a line for each hierarchy: `number:controllers:path`.
        groups: where the hierarchies lie; in a container its own group is the root, whatever the path says.
    Source: cgroups(7); the kernel's documentation of cgroup v1 and v2.
    """
    limits = [math.inf]
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limits += [soft for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA) if (soft := _soft_limit(kind)) > 0]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
            place = root / path.lstrip("/")
            for folder in (place, *place.parents):  # a group cannot have more than those above it
                with contextlib.suppress(OSError, ValueError):  # `max` is no number
                    limits.append(int((folder / name).read_text()))
                if folder == root:
                    break
    return tuple(limits)


def _soft_limit(kind: int) -> int:
    """Return a limit of this process in bytes; a negative number for none."""
    import resource

    return resource.getrlimit(kind)[0]
