"""Every combination of convolution algorithms equals torch's convolution."""

import pytest
import torch
from torch import nn

from visionlib.training.cpu.convolution import Algorithms, convolve


def seeded(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


ALGORITHMS = [
    Algorithms(),
    Algorithms("im2col", "im2col", "im2col"),
    Algorithms(filter_gradient="im2col"),
    Algorithms(input_gradient="im2col"),
    Algorithms(input_gradient="im2col", filter_gradient="im2col"),
]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (4, 4), (5, 2), (7, 8)])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("algorithms", ALGORITHMS)
def test_outputs_and_gradients_equal_torchs(
    size: tuple[int, int], side: int, stride: int, layout: torch.memory_format, algorithms: Algorithms
) -> None:
    results = []
    for is_ours in (True, False):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, side, side).to(memory_format=layout).requires_grad_()
        outputs = (
            convolve(inputs, filters, stride, algorithms)
            if is_ours
            else nn.functional.conv2d(inputs, filters, padding=side // 2, stride=stride)
        )
        gradients = torch.autograd.grad((outputs * seeded(*outputs.shape)).sum(), (inputs, filters))
        results.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("algorithms", ALGORITHMS)
@pytest.mark.parametrize("required", ["inputs", "filters"])
def test_only_required_gradients_are_computed(required: str, algorithms: Algorithms) -> None:
    tensors = {"inputs": seeded(1, 2, 3, 3), "filters": seeded(2, 2, 3, 3)}
    tensors[required].requires_grad_()
    convolve(tensors["inputs"], tensors["filters"], 1, algorithms).sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [required]
