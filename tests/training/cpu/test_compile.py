"""The kernels are compiled once; without them a run reports the reason and uses torch's."""

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.training.cpu import needs_kernels
from visionlib.errors import ConfigError
from visionlib.inference import device
from visionlib.inference.device import choose_compute
from visionlib.training.cpu import choose_kernels
from visionlib.training.cpu.compile import KernelError, find_compiler, load_kernels

accelerate_module = importlib.import_module("visionlib.training.cpu.accelerate")  # the package exports the function


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    load_kernels.cache_clear()
    yield tmp_path / "cache" / "kernels"
    load_kernels.cache_clear()


def write_compiler(folder: Path, body: str) -> str:
    """Write a program that stands in for a compiler, and return its path."""
    path = folder / "compiler"
    path.write_text(f"#!{sys.executable}\nimport sys\nif '--version' in sys.argv: raise SystemExit\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@needs_kernels
def test_kernels_are_compiled_once_and_chosen_where_possible(fresh_cache: Path) -> None:
    first = load_kernels()
    (library,) = fresh_cache.iterdir()
    compiled = library.stat().st_mtime_ns
    load_kernels.cache_clear()
    assert load_kernels() is not first
    assert [path.stat().st_mtime_ns for path in fresh_cache.iterdir()] == [compiled]
    compute = choose_compute("cpu", "bf16")
    assert choose_kernels(compute, "auto").kernels == choose_kernels(compute, "on").kernels == "own"
    feature = "amx_bf16" if device.has_cpu_feature("amx_bf16") else "avx512_bf16"
    assert f"bf16 with own kernels: the CPU has {feature}" in str(choose_kernels(choose_compute("cpu"), "auto"))
    assert choose_kernels(compute, "off").kernels == choose_compute("cpu", "fp32").kernels == "torch"


def test_a_missing_compiler_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelError, match=r"there is no C\+\+ compiler \(g\+\+, c\+\+, clang\+\+\)"):
        load_kernels()
    monkeypatch.setenv("CXX", "nowhere-g++")
    with pytest.raises(KernelError, match=r"there is no C\+\+ compiler \(nowhere-g\+\+\)"):
        find_compiler()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('a.cpp:1: error: no such option', file=sys.stderr); sys.exit(1)", "failed: a.cpp:1: error: no such"),
        ("sys.exit(3)", "failed: "),
        ("open(sys.argv[-1], 'w').write('no library')", "the compiled library cannot be loaded"),
        ("", "No such file"),
    ],
)
def test_a_failing_compiler_is_reported_in_one_line(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", write_compiler(tmp_path, body))
    with pytest.raises(KernelError, match=message) as caught:
        load_kernels()
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("CXX", write_compiler(tmp_path, "sys.exit(1)"))
    with pytest.raises(KernelError, match="Not a directory"):
        load_kernels()


def test_the_compute_line_reports_the_missing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (device, accelerate_module):
        monkeypatch.setattr(module, "has_cpu_feature", lambda name: name == "avx512_bf16")
    monkeypatch.setattr(device, "_hardware_name", lambda _: "AMD EPYC")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    compute = choose_kernels(choose_compute("cpu"), "auto")
    assert (compute.precision, compute.kernels) == ("bf16", "torch")
    assert "bf16: the CPU has avx512_bf16; no own kernels: there is no C++ compiler" in str(compute)
    with pytest.raises(
        ConfigError, match=r"kernels: this library's own cannot be had: there is no C\+\+ compiler .*; "
    ):
        choose_kernels(choose_compute("cpu"), "on")
    assert "own" not in str(choose_kernels(choose_compute("cpu"), "off"))


@pytest.mark.parametrize(
    ("case", "fix"), [("old CPU", "leave it at auto"), ("fp32", "add --precision bf16, or leave it at auto")]
)
def test_kernels_need_avx512_bf16_and_bf16(case: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate_module, "has_cpu_feature", lambda name: case == "fp32")
    precision: Literal["fp32", "bf16"] = "fp32" if case == "fp32" else "bf16"
    compute = choose_compute("cpu", precision)
    assert choose_kernels(compute, "auto").kernels == "torch"
    with pytest.raises(ConfigError, match=f"they are for CPUs with AVX512-BF16, in bf16; {fix}"):
        choose_kernels(compute, "on")
