"""Where this machine cannot have the kernels, what needs them is skipped; the rest is tested everywhere."""

import pytest

from visionlib.inference.device import choose_compute, has_cpu_feature

needs_kernels = pytest.mark.skipif(
    choose_compute("cpu", kernels="auto").kernels == "torch", reason="no AVX512-BF16, or no C++ compiler"
)
needs_matrix_units = pytest.mark.skipif(not has_cpu_feature("amx_bf16"), reason="no AMX")
