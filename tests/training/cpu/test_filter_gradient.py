"""The filter gradient of the AMX kernel equals that of torch in float64."""

import pytest
import torch
from torch import Tensor

from tests.training.cpu import needs_amx, needs_kernels
from visionlib.training.cpu.filter_gradient import filter_gradient, suits_kernel

SHAPES = [
    (1, 32, 32, 6, 6),  # n, c, k, h, w: a little more than a tile
    (3, 32, 64, 7, 8),  # an odd number of rows
    (5, 64, 32, 32, 32),  # whole tiles, one image at a time
    (37, 96, 64, 6, 8),  # several images per block, and a remainder
    (2, 128, 128, 20, 20),
    (4, 64, 64, 9, 40),  # wider than high
]


def bf16(*shape: int) -> Tensor:
    return torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last)


@needs_kernels
@needs_amx
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_gradient_equals_torch_in_float64(shape: tuple[int, int, int, int, int], threads: int) -> None:
    n, c, k, height, width = shape
    inputs, gradient = bf16(n, c, height, width), bf16(n, k, height, width)
    assert suits_kernel(inputs.shape, torch.Size((k, c, 3, 3)))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        result = filter_gradient(inputs, gradient)
        assert torch.equal(result, filter_gradient(inputs.contiguous(), gradient.contiguous()))
    finally:
        torch.set_num_threads(before)
    filters = torch.zeros(k, c, 3, 3, dtype=torch.float64, requires_grad=True)
    outputs = torch.conv2d(inputs.double(), filters, padding=1)
    (expected,) = torch.autograd.grad(outputs, filters, gradient.double())
    assert result.dtype == torch.bfloat16
    assert result.is_contiguous(memory_format=torch.channels_last)
    # One rounding to bf16 at the end; the float32 sums before it lose a little, relative to the size of their terms.
    torch.testing.assert_close(result.double(), expected, rtol=2**-8, atol=1e-5 * (n * height * width) ** 0.5)


@pytest.mark.parametrize(
    ("inputs", "filters"),
    [
        ((2, 16, 8, 8), (32, 16, 3, 3)),
        ((2, 32, 8, 8), (10, 32, 3, 3)),
        ((2, 32, 8, 7), (32, 32, 3, 3)),
        ((2, 32, 4, 4), (32, 32, 3, 3)),
        ((2, 32, 8, 8), (32, 32, 1, 1)),
    ],
)
def test_other_shapes_are_not_supported(inputs: tuple[int, ...], filters: tuple[int, ...]) -> None:
    assert not suits_kernel(torch.Size(inputs), torch.Size(filters))
