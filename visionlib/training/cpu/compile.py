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
_PATIENCE_S = 120.0


class KernelError(Exception):
    """The kernels cannot be had on this machine; the text says why."""


@functools.cache
def load_kernels() -> ctypes.CDLL:
    """Give the kernels, compiled now if this machine has not compiled them yet, which takes about three seconds.

    Raises:
        KernelError: if there is no C++ compiler, or it cannot compile them, or what it made cannot be loaded.
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
    """Give the C++ compiler: what the variable CXX names, or one of the usual names.

    Raises:
        KernelError: if there is none.
    """
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else _COMPILERS:
        if found := shutil.which(name):
            return found
    raise KernelError(f"there is no C++ compiler ({wanted or ', '.join(_COMPILERS)})")


def _compile(compiler: str, library: Path) -> None:
    """Compile into the cache, under another name until it is whole: others may be at it as well."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        objects, whole = [str(Path(folder) / f"{source.stem}.o") for source in _SOURCES], Path(folder) / "kernels.so"
        for source, of_source in zip(_SOURCES, objects, strict=True):
            _run([compiler, *_FLAGS, "-c", str(source), "-o", of_source])
        # Without a library for threads: the names are found in torch's, whose threads are shared.
        _run([compiler, "-shared", *objects, "-o", str(whole)])
        whole.replace(library)


def _run(command: list[str]) -> str:
    """Run a compiler; give what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)  # noqa: S603  by whoever set CXX
    if done.returncode:
        told = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise KernelError(f"{command[0]} failed: {told[:200]}")
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
        raise KernelError(f"what the compiler made cannot be loaded: {_first_line(error)}") from error
    library.allow_matrix_units()  # where there are any; whoever multiplies asks the processor first
    return library


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def address(tensor: torch.Tensor | None) -> int | None:
    """Give where a tensor's figures lie; None for none."""
    return None if tensor is None else tensor.data_ptr()
