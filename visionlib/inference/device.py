"""Device, precision and threads of a computation: chosen once, reported in one line."""

import functools
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from visionlib.errors import ConfigError
from visionlib.eval_mode import Precision
from visionlib.inference.memory import kept_memory


@dataclass(frozen=True)
class Compute:
    """Device, precision and threads of a computation.

    Attributes:
        device: torch's name of it.
        precision: of convolutions and products; weights and statistics are always float32.
        threads: CPU threads of each process.
        hardware: the model name that the hardware reports.
        reason: why this precision, and these kernels, in words.
        processes: number that train together.
        kernels: whose kernels compute normalizations in training: this library's own, or torch's.
    """

    device: str
    precision: Precision
    threads: int
    hardware: str
    reason: str
    processes: int = 1
    kernels: Literal["own", "torch"] = "torch"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of convolutions and products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def __str__(self) -> str:
        count = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        threads = f", {count}" if self.device == "cpu" else ""
        several = f"{self.processes} processes, each on " if self.processes > 1 else ""
        kernels = " with own kernels" if self.kernels == "own" else ""
        return f"{several}{self.hardware} ({self.device}{threads}), {self.precision}{kernels}: {self.reason}"


def choose_compute(
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    threads: int = 0,
    *,
    local_rank: int | None = None,
    local_size: int = 1,
) -> Compute:
    """Choose device, precision and threads; nothing is changed by it, see `compute_environment`.

    Args:
        device: `auto`, or a name that torch knows; `auto` is a CUDA device where there is one, else the CPU.
        precision: `auto` is bf16 where the hardware is faster in it, else fp32.
        threads: CPU threads; 0 is torch's choice, one per core, or an equal part of the cores for each process.
        local_rank: number of this process on its machine, if several train together: that of its GPU.
        local_size: processes on this machine, which divide its cores.
    Raises:
        ConfigError: if the device is absent or unknown.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if local_rank is not None and name.startswith("cuda"):
        name = f"cuda:{local_rank}"
    check_device(name)
    has_bf16, source = _report_bf16(name)
    chosen: Precision = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
    reason = source if precision == "auto" else "as asked"
    return Compute(name, chosen, threads or _default_threads(local_rank, local_size), _hardware_name(name), reason)


def _default_threads(local_rank: int | None, local_size: int) -> int:
    if local_rank is None:
        return torch.get_num_threads()
    # Not torch's number: torchrun sets it to 1, however many cores there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_size)


@contextmanager
def compute_environment(compute: Compute) -> Iterator[None]:
    """Set this process up for a computation while the block runs; then everything is as before.

    On a CPU: threads, freed memory kept, denormals flushed to zero. On a GPU: deterministic algorithms, which are as
    fast as the others for these networks (docs/experiments.md).
    """
    threads, was_flushing = torch.get_num_threads(), _flushes_denormals()
    # Before the first parallel operation, so that the threads of the pool inherit it.
    torch.set_flush_denormal(True)
    torch.set_num_threads(compute.threads)
    try:
        with kept_memory(), _deterministic_algorithms(compute.device):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(was_flushing)


@contextmanager
def _deterministic_algorithms(device: str) -> Iterator[None]:
    if not device.startswith("cuda"):
        yield
        return
    # Read by cuBLAS when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32
    ):
        yield


def _flushes_denormals() -> bool:
    """Ask the CPU, since torch does not report it: half of the smallest normal number is 0 if it flushes."""
    return bool((torch.tensor(torch.finfo(torch.float32).tiny) / 2 == 0).item())


def check_device(name: str) -> torch.device:
    """Return torch's device of that name.

    Raises:
        ConfigError: if torch does not know the name, or this machine or this torch lacks the device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("device", f"torch knows no device {name!r}", "use auto, cpu, cuda, cuda:1 or mps") from None
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= count:
        raise ConfigError("device", f"{name} is not on this machine, or this torch lacks it", "use --device auto")
    return device


def _report_bf16(device: str) -> tuple[bool, str]:
    """Return whether the hardware is faster in bf16, and the report that says so."""
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}"
    if device != "cpu":
        return False, "not measured there"
    if has_cpu_feature("amx_bf16"):
        return True, "the CPU has amx_bf16"
    if not has_cpu_feature("avx512_bf16"):
        return False, "the CPU has no bf16"
    if _hardware_name(device).startswith("Intel"):
        # Measured with AMX hidden: docs/experiments.md. AMD's vectors gain by bf16.
        return False, "Intel's bf16 is slower where the CPU has no AMX"
    return True, "the CPU has avx512_bf16"


@functools.cache
def has_cpu_feature(name: str) -> bool:
    """Return whether the CPU reports a feature, such as `amx_bf16`."""
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get(name, False))
    # torch before 2.12 does not publish the report; the kernel does, on Linux.
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and name in cpuinfo.read_text(encoding="utf-8", errors="replace").split()


def _hardware_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if hasattr(torch.cpu, "get_capabilities"):
        return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())
    return platform.processor() or platform.machine()
