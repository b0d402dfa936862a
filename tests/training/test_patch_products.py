"""Convolutions as products with patches: the same figures."""

import pytest
import torch
from torch import nn

from visionlib.training.cpu.convolution import Algorithms, convolve


def seeded(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


WAYS = [
    Algorithms(),
    Algorithms("patches", "patches", "patches"),
    Algorithms(of_filters="patches"),
    Algorithms(of_inputs="patches"),
    Algorithms(of_inputs="patches", of_filters="patches"),
]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (4, 4), (5, 2), (7, 8)])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("ways", WAYS)
def test_figures_and_gradients_are_those_of_the_convolution(
    size: tuple[int, int], side: int, stride: int, layout: torch.memory_format, ways: Algorithms
) -> None:
    found = []
    for is_ours in (True, False):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, side, side).to(memory_format=layout).requires_grad_()
        outputs = (
            convolve(inputs, filters, stride, ways)
            if is_ours
            else nn.functional.conv2d(inputs, filters, padding=side // 2, stride=stride)
        )
        gradients = torch.autograd.grad((outputs * seeded(*outputs.shape)).sum(), (inputs, filters))
        found.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("wanted", ["inputs", "filters"])
def test_only_the_gradients_that_are_wanted_are_worked_out(wanted: str, ways: Algorithms) -> None:
    tensors = {"inputs": seeded(1, 2, 3, 3), "filters": seeded(2, 2, 3, 3)}
    tensors[wanted].requires_grad_()
    convolve(tensors["inputs"], tensors["filters"], 1, ways).sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [wanted]
