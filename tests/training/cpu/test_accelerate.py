"""`accelerate` computes the same as the network, and changes nothing of it, also what its owner has replaced."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.cpu import needs_kernels
from visionlib.inference.device import Compute, choose_compute
from visionlib.models import build_model
from visionlib.training.cpu import accelerate, choose_kernels, convolution
from visionlib.training.cpu.batch_norm import FusedNorm

CPU = choose_compute("cpu", "fp32")
GPU = Compute("cuda:0", "bf16", 1, "a GPU", "as asked")


def convolve_doubled(layer: nn.Conv2d) -> Any:
    return lambda inputs: nn.Conv2d.forward(layer, 2 * inputs)


@pytest.mark.parametrize("fails", [False, True])
def test_a_forward_that_a_user_has_set_on_a_convolution_is_used_and_stays(fails: bool) -> None:
    first, second = (nn.Conv2d(channels, 4, 3, padding=1, bias=False) for channels in (3, 4))
    model = nn.Sequential(first, second)
    own = convolve_doubled(first)
    first.forward = own  # type: ignore[method-assign]
    inputs = torch.randn(2, 3, 2, 2)
    expected = model(inputs)
    called = accelerate(model, CPU, has_fixed_graph=False)
    assert called is not model
    if fails:
        with pytest.raises(RuntimeError):
            called(torch.randn(2, 5, 2, 2))
    torch.testing.assert_close(called(inputs), expected)
    assert vars(first)["forward"] is own
    assert "forward" not in vars(second)


def test_convolutions_are_replaced_during_the_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU())
    inputs = torch.randn(2, 3, 2, 2)
    calls = []

    def spy(inputs: Tensor, filters: Tensor) -> Tensor:
        calls.append(inputs)
        return torch.conv2d(inputs, filters, padding=1)

    monkeypatch.setattr(convolution, "convolve_small_map", spy)
    called = accelerate(model, CPU, has_fixed_graph=False)
    model(inputs)
    assert not calls
    called(inputs)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["resnet20", "resnet9", "cnn8"])
def test_outputs_and_gradients_are_the_networks(name: str) -> None:
    inputs, results = torch.randn(4, 3, 16, 16), []
    for is_accelerated in (False, True):
        model = build_model(name, seed=1).train()
        called = accelerate(model, CPU, has_fixed_graph=True) if is_accelerated else model
        called(inputs).square().mean().backward()
        results.append([parameter.grad for parameter in model.parameters()] + list(model.buffers()))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_parameters_and_buffers_are_shared() -> None:
    model = build_model("resnet20")
    called = accelerate(model, CPU, has_fixed_graph=True)
    assert list(map(id, called.parameters())) == list(map(id, model.parameters()))
    assert list(map(id, called.buffers())) == list(map(id, model.buffers()))


def test_the_network_itself_is_called_on_a_gpu_and_without_a_supported_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    assert accelerate(model, GPU, has_fixed_graph=True) is model
    linear = nn.Linear(3, 2)
    assert accelerate(linear, CPU, has_fixed_graph=True) is linear


def test_normalizations_are_fused_with_own_kernels_in_a_fixed_graph_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    own = dataclasses.replace(CPU, kernels="own")
    for compute, has_fixed_graph, expected in ((own, True, 1), (own, False, 0), (CPU, True, 0)):
        called = accelerate(model, compute, has_fixed_graph=has_fixed_graph)
        assert sum(isinstance(module, FusedNorm) for module in called.modules()) == expected


@needs_kernels
def test_kernels_are_chosen_for_bf16_on_cpus_alone() -> None:
    assert choose_kernels(choose_compute("cpu", "bf16"), "auto").kernels == "own"
    assert choose_kernels(choose_compute("cpu", "bf16"), "off").kernels == "torch"
    assert choose_kernels(choose_compute("cpu", "fp32"), "auto").kernels == "torch"
    assert choose_kernels(GPU, "auto") == GPU
