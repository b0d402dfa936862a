"""The choice of device, precision and threads, and the environment of a computation."""

import pytest
import torch

from visionlib.errors import ConfigError
from visionlib.inference import device
from visionlib.inference.device import check_device, choose_compute, compute_environment


def test_an_explicit_choice_is_kept() -> None:
    compute = choose_compute("cpu", "fp32")
    assert (compute.device, compute.precision, compute.reason) == ("cpu", "fp32", "as asked")
    assert compute.threads == torch.get_num_threads()


@pytest.mark.parametrize(("threads", "text"), [(1, "(cpu, 1 thread), fp32"), (2, "(cpu, 2 threads), fp32")])
def test_the_number_of_threads_is_reported(threads: int, text: str) -> None:
    assert text in str(choose_compute("cpu", "fp32", threads))


@pytest.mark.parametrize(
    ("name", "features", "precision", "reason"),
    [
        ("Intel Xeon", ["avx512_bf16", "amx_bf16"], "bf16", "the CPU has amx_bf16"),
        ("Intel Xeon", ["avx512_bf16"], "fp32", "Intel's bf16 is slower where the CPU has no AMX"),
        ("Intel Xeon", [], "fp32", "the CPU has no bf16"),
        ("AMD EPYC", ["avx512_bf16"], "bf16", "the CPU has avx512_bf16"),
        ("AMD EPYC", [], "fp32", "the CPU has no bf16"),
    ],
)
def test_auto_follows_from_the_features_of_the_cpu(
    name: str, features: list[str], precision: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "has_cpu_feature", features.__contains__)
    monkeypatch.setattr(device, "_hardware_name", lambda _: name)
    assert str(choose_compute("cpu", threads=2)) == f"{name} (cpu, 2 threads), {precision}: {reason}"


@pytest.mark.parametrize("was_flushing", [False, True])
def test_the_environment_is_set_up_in_the_block_and_restored(was_flushing: bool) -> None:
    def is_flushing() -> bool:
        return bool((torch.tensor(1e-38) / 10 == 0).item())

    before = torch.get_num_threads()
    compute = choose_compute("cpu", "fp32", before + 1)
    torch.set_flush_denormal(was_flushing)
    try:
        with compute_environment(compute):
            assert torch.get_num_threads() == before + 1
            assert is_flushing()
        assert torch.get_num_threads() == before
        assert is_flushing() == was_flushing
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "device: torch knows no device 'gpu'; use auto, cpu, cuda, cuda:1 or mps"),
        ("cuda:99", "device: cuda:99 is not on this machine, or this torch lacks it; use --device auto"),
        ("meta", "device: meta is not on this machine"),
    ],
)
def test_absent_devices_are_errors(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_device(name)
