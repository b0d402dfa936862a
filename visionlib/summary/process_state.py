"""Restore settings of the whole process that a forward pass can change: precision, kernels and random generators.

What a context manager of PyTorch changes ends with the forward pass; a plain call, such as `torch.set_default_dtype`,
outlasts it.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_module

_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    *(
        (partial(read, device), partial(write, device))
        for device in ("cpu", "cuda")
        for read, write in (
            (torch.is_autocast_enabled, torch.set_autocast_enabled),
            (torch.get_autocast_dtype, torch.set_autocast_dtype),
        )
    ),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    # Not torch.backends.cudnn and mkldnn: their flags set other things as well, and warn of them.
    *(
        (getattr(torch._C, f"_get_{flag}"), getattr(torch._C, f"_set_{flag}"))
        for flag in (
            "mkldnn_enabled",
            "cudnn_enabled",
            "cudnn_benchmark",
            "cudnn_deterministic",
            "cudnn_allow_tf32",
            "cublas_allow_tf32",
        )
    ),
)
"""Reader and writer of each setting."""


@contextlib.contextmanager
def preserve_process() -> Iterator[None]:
    """Run the block; then restore the settings of PyTorch, and the random generators of PyTorch, NumPy and Python."""
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_devices = range(torch.cuda.device_count()) if has_cuda else ()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    settings = list(_read_settings())
    with torch.random.fork_rng(list(cuda_devices)):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            for read, write, value in settings:
                if read() != value:
                    write(value)


def list_global_hooks() -> list[Any]:
    """The containers of the hooks that PyTorch calls for every module."""
    return [value for key, value in vars(torch_module).items() if key.startswith("_global") and isinstance(value, dict)]


def _read_settings() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any], Any]]:
    for read, write in _SETTINGS:
        # A flag may refuse to be read, as that of TF32 after it was set for single operations.
        with contextlib.suppress(RuntimeError):
            yield read, write, read()
