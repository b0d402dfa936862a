"""Which device computes, in which number format, with how many threads: decided once, said in one line."""

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
from visionlib.training.allocation import kept_memory
from visionlib.training.config import Kernels, Precision
from visionlib.training.kernels.library import KernelError, load_kernels
from visionlib.training.world import ALONE, World


@dataclass(frozen=True)
class Compute:
    """What a run computes on.

    Attributes:
        device: torch's name of it.
        precision: format of the convolutions; weights and statistics are always float32.
        threads: processor threads of each process.
        hardware: the model name that the hardware reports.
        reason: why this precision, and these kernels, for people.
        processes: how many train together.
        kernels: whose compute normalisations in training: this library's own, or torch's.
    """

    device: str
    precision: Literal["fp32", "bf16"]
    threads: int
    hardware: str
    reason: str
    processes: int = 1
    kernels: Literal["own", "torch"] = "torch"

    def __str__(self) -> str:
        count = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        threads = f", {count}" if self.device == "cpu" else ""
        several = f"{self.processes} processes, each on " if self.processes > 1 else ""
        kernels = " with own kernels" if self.kernels == "own" else ""
        return f"{several}{self.hardware} ({self.device}{threads}), {self.precision}{kernels}: {self.reason}"


def choose_compute(
    device: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    world: World = ALONE,
    kernels: Kernels = "off",
) -> Compute:
    """Decide on what to compute; nothing is changed by it, see `prepared_process`.

    Args:
        device: `auto`, or a name that torch knows; `auto` is a CUDA device where there is one, else the processor.
        precision: `auto` is bf16 where the hardware is faster in it, else fp32.
        threads: processor threads; 0 is torch's choice, one per core, or this process's share of the cores.
        world: the processes that train together; each has a GPU of its own.
        kernels: `auto` is this library's own, for training, where the processor has AVX512-BF16 and a C++ compiler is
            there; they are compiled now if they never were.
    Raises:
        ConfigError: if the device is not there or unknown, or own kernels are asked for and cannot be had.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if world.size > 1 and name.startswith("cuda"):
        name = f"cuda:{world.local_rank}"
    check_device(name)
    has_bf16, source = _report_bf16(name)
    chosen: Literal["fp32", "bf16"] = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
    reason = source if precision == "auto" else "as asked"
    trouble = _find_trouble(name, chosen) if kernels != "off" else None
    if trouble and kernels == "on":
        is_format_alone = name == "cpu" and chosen != "bf16" and has_cpu_feature("avx512_bf16")
        fix = "add --precision bf16, or leave it at auto" if is_format_alone else "leave it at auto"
        raise ConfigError("kernels", f"this library's own cannot be had: {trouble}", fix)
    if trouble and chosen == "bf16" and name == "cpu":
        reason += f"; no kernels of our own: {trouble}"
    whose: Literal["own", "torch"] = "torch" if kernels == "off" or trouble else "own"
    return Compute(name, chosen, threads or _share_of_threads(world), _hardware_name(name), reason, world.size, whose)


def _find_trouble(device: str, precision: str) -> str | None:
    """Tell why this library's own kernels cannot be had; None if they can."""
    if device != "cpu" or precision != "bf16" or not has_cpu_feature("avx512_bf16"):
        return "they are for processors with AVX512-BF16, in bf16"
    try:
        load_kernels()
    except KernelError as error:
        return str(error)
    return None


def _share_of_threads(world: World) -> int:
    if world.size == 1:
        return torch.get_num_threads()
    # Not torch's number: torchrun sets it to 1, however many cores there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // world.local_size)


@contextmanager
def prepared_process(compute: Compute) -> Iterator[None]:
    """Set the process up while the block runs.

    On a processor: threads, freed memory kept, slow denormals flushed to zero. On a GPU: algorithms that give the same
    bits each time, which for these networks are as fast as the others (docs/experiments.md).
    """
    threads, was_flushing = torch.get_num_threads(), _flushes_denormals()
    # Before the first parallel operation, so that the threads of the pool inherit it.
    torch.set_flush_denormal(True)
    torch.set_num_threads(compute.threads)
    try:
        with kept_memory(), _repeatable_kernels(compute.device):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(was_flushing)


@contextmanager
def _repeatable_kernels(device: str) -> Iterator[None]:
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
    """Ask the processor, since torch does not tell: half of the smallest normal number is 0 if it flushes."""
    return bool((torch.tensor(torch.finfo(torch.float32).tiny) / 2 == 0).item())


def check_device(name: str) -> torch.device:
    """Give torch's device of that name.

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
    """Tell whether the hardware is faster in bf16, and by which word of its own."""
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}"
    if device != "cpu":
        return False, "not measured there"
    if has_cpu_feature("amx_bf16"):
        return True, "the processor has amx_bf16"
    if not has_cpu_feature("avx512_bf16"):
        return False, "the processor has no bf16"
    if _hardware_name(device).startswith("Intel"):
        # Measured with AMX hidden: docs/experiments.md. AMD's vectors gain by bf16.
        return False, "Intel's bf16 is slower where the processor has no AMX"
    return True, "the processor has avx512_bf16"


@functools.cache
def has_cpu_feature(name: str) -> bool:
    """Tell whether the processor reports a feature, such as `amx_bf16`."""
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
