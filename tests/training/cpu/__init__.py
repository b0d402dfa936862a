"""Tests that need the C++ kernels or AMX are skipped where this machine lacks them."""

import pytest

from visionlib.inference.device import choose_compute, has_cpu_feature
from visionlib.training.cpu import choose_kernels

needs_kernels = pytest.mark.skipif(
    choose_kernels(choose_compute("cpu"), "auto").kernels == "torch", reason="no AVX512-BF16, or no C++ compiler"
)
needs_amx = pytest.mark.skipif(not has_cpu_feature("amx_bf16"), reason="no AMX")
