"""Compile the kernels, once for each machine, and load them."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from visionlib.data.cache import cache_folder

_SOURCES = tuple(Path(__file__).parent / name for name in ("batch_norm.cpp", "filter_gradient.cpp"))
_INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512bf16", "amx-tile", "amx-bf16")
_FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fopenmp", *(f"-m{name}" for name in _INSTRUCTIONS))
_COMPILERS = ("g++", "c++", "clang++")
_TIMEOUT_S = 120.0


class KernelError(Exception):
    """The kernels cannot be compiled or loaded on this machine; the message says why."""


@functools.cache
def load_kernels() -> ctypes.CDLL:
    """Return the kernels, compiled now if this machine has not compiled them yet, which takes about three seconds.

    Raises:
        KernelError: if there is no C++ compiler, it fails, or its library cannot be loaded.
    """
    compiler = find_compiler()
    try:
        version = _run([compiler, "--version"])
        parts = [*(source.read_text(encoding="utf-8") for source in _SOURCES), *_FLAGS, version]
        name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        folder = cache_folder() / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / f"{name}.so"
        if not library.is_file():
            _compile(compiler, library)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(_first_line(error)) from error
    return _load(library)


def find_compiler() -> str:
    """Find the C++ compiler: that of the variable CXX, or one of the usual names.

    Raises:
        KernelError: if there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else _COMPILERS
    for name in names:
        if path := shutil.which(name):
            return path
    raise KernelError(f"there is no C++ compiler ({', '.join(names)})")


def _compile(compiler: str, library: Path) -> None:
    """Compile into the cache, in a temporary folder first: another process may compile at the same time."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        objects = [str(Path(folder) / f"{source.stem}.o") for source in _SOURCES]
        for source, path in zip(_SOURCES, objects, strict=True):
            _run([compiler, *_FLAGS, "-c", str(source), "-o", path])
        linked = Path(folder) / "kernels.so"
        # Not linked to an OpenMP library: its symbols are found in torch's, whose thread pool is shared.
        _run([compiler, "-shared", *objects, "-o", str(linked)])
        linked.replace(library)


def _run(command: list[str]) -> str:
    """Run a compiler and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603  the user sets CXX
    if done.returncode:
        message = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise KernelError(f"{command[0]} failed: {message[:200]}")
    return done.stdout


def _load(path: Path) -> ctypes.CDLL:
    pointer, size, flag = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    arguments = {
        "normalize_forward": [*[pointer] * 8, size, size, ctypes.c_float, flag, flag],
        "normalize_backward": [*[pointer] * 12, size, size, flag, flag],
        "filter_gradient": [*[pointer] * 3, *[size] * 5, flag],
    }
    try:
        library = ctypes.CDLL(str(path), mode=os.RTLD_NOW)
        for name, types in arguments.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, None
    except (OSError, AttributeError) as error:
        raise KernelError(f"the compiled library cannot be loaded: {_first_line(error)}") from error
    library.allow_matrix_units()  # without AMX nothing happens, and no filter gradient is computed here
    return library


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def address(tensor: torch.Tensor | None) -> int | None:
    """Return the address of a tensor's data; None for none."""
    return None if tensor is None else tensor.data_ptr()
