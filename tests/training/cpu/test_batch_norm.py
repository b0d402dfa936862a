"""A fused normalization equals its formulas, and gives the same bits with any number of threads."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.cpu import needs_kernels
from visionlib.training.cpu.batch_norm import FusedNorm

pytestmark = needs_kernels


def bf16(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 1.5 + 0.7
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, momentum=0.2)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-0.5, 0.5)
    return norm


def in_double(tensor: Tensor) -> Tensor:
    return tensor.detach().double().requires_grad_()


@pytest.mark.parametrize("shape", [(4, 16, 1, 5), (3, 48, 5, 7), (2, 32, 9, 3), (40, 64, 6, 6), (7, 512, 2, 2)])
@pytest.mark.parametrize("has_shortcut", [False, True])
@pytest.mark.parametrize("has_relu", [False, True])
@pytest.mark.parametrize("has_two_readers", [False, True])
def test_outputs_and_gradients_equal_the_formulas(
    shape: tuple[int, ...], has_shortcut: bool, has_relu: bool, has_two_readers: bool
) -> None:
    norm = norm_of(shape[1])
    exact = copy.deepcopy(norm).double()
    inputs, shortcut = bf16(*shape).requires_grad_(), bf16(*shape, seed=1).requires_grad_()
    upstream = [bf16(*shape, seed=2), bf16(*shape, seed=3)][: 2 if has_two_readers else 1]
    fused = FusedNorm(norm, has_relu=has_relu, has_two_readers=has_two_readers)
    arguments = (inputs, shortcut) if has_shortcut else (inputs,)
    outputs = fused(*arguments)
    gradients = torch.autograd.grad(
        outputs, (*arguments, norm.weight, norm.bias), upstream if has_two_readers else upstream[0]
    )

    doubles = [in_double(tensor) for tensor in arguments]
    mean = doubles[0].mean((0, 2, 3), keepdim=True)
    std = (doubles[0].var((0, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
    weight, bias = exact.weight.view(1, -1, 1, 1), exact.bias.view(1, -1, 1, 1)
    expected = (doubles[0] - mean) / std * weight + bias
    expected = expected + doubles[1] if has_shortcut else expected
    expected = F.relu(expected) if has_relu else expected
    gradient = torch.stack(upstream).double().sum(0)
    expected_gradients = torch.autograd.grad(expected, (*doubles, exact.weight, exact.bias), gradient)

    for each in outputs if has_two_readers else [outputs]:
        assert each.dtype == torch.bfloat16
        assert each.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(each.double(), expected, rtol=2**-8, atol=1e-5)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        # The sign of a ReLU's input that is nearly 0 would be rounding; no input here is.
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=2**-7, atol=2**-8 * scale)


def test_running_statistics_equal_torchs() -> None:
    norm, theirs = norm_of(32), norm_of(32)
    inputs = bf16(5, 32, 4, 3)
    for _ in range(3):
        FusedNorm(norm, has_relu=True)(inputs)
        theirs(inputs.float())
    assert norm.num_batches_tracked == 3
    torch.testing.assert_close(norm.running_mean, theirs.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, theirs.running_var, rtol=1e-5, atol=1e-6)


def test_a_mean_that_is_large_beside_the_std_cancels_no_digits() -> None:
    inputs = (1000 + 4 * torch.randint(0, 3, (50, 16, 8, 8))).bfloat16().contiguous(memory_format=torch.channels_last)
    norm = nn.BatchNorm2d(16, momentum=1.0)
    FusedNorm(norm, has_relu=False)(inputs)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var.double(), inputs.double().var((0, 2, 3)), rtol=1e-5, atol=0)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    inputs, gradient, norm = bf16(30, 64, 8, 8).requires_grad_(), bf16(30, 64, 8, 8, seed=1), norm_of(64)
    results: list[tuple[Tensor, ...]] = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            outputs = FusedNorm(norm, has_relu=True)(inputs)
            results.append((outputs, *torch.autograd.grad(outputs, (inputs, norm.weight, norm.bias), gradient)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nan_is_passed_on() -> None:
    inputs = bf16(2, 16, 4, 4)
    inputs[0, 3] = torch.nan
    outputs = FusedNorm(norm_of(16), has_relu=True)(inputs)
    assert outputs[:, 3].isnan().all()
    assert outputs[:, 4:].isfinite().all()


@pytest.mark.parametrize("case", ["float", "channels first", "odd channels", "eval mode"])
def test_unsupported_inputs_are_computed_by_torch(case: str) -> None:
    inputs = {
        "float": bf16(4, 16, 3, 3).float(),
        "channels first": bf16(4, 16, 3, 3).contiguous(),
        "odd channels": bf16(4, 10, 3, 3),
        "eval mode": bf16(4, 16, 3, 3),
    }[case]
    norm = norm_of(inputs.shape[1]).train(case != "eval mode")
    fused = FusedNorm(copy.deepcopy(norm), has_relu=True, has_two_readers=True)(inputs, inputs)
    assert all(torch.equal(each, F.relu(norm(inputs) + inputs)) for each in fused)


def test_a_shortcut_of_one_pixel_is_broadcast() -> None:
    inputs, shortcut, norm = bf16(4, 16, 3, 3), bf16(4, 16, 1, 1), norm_of(16)
    outputs = FusedNorm(copy.deepcopy(norm), has_relu=False)(inputs, shortcut)
    assert torch.equal(outputs, norm(inputs) + shortcut)


def test_gradients_of_one_reader_alone_are_enough() -> None:
    inputs = bf16(4, 16, 3, 3).requires_grad_()
    gradients = []
    for at in (0, 1):
        outputs = FusedNorm(nn.BatchNorm2d(16), has_relu=True, has_two_readers=True)(inputs)
        gradients.append(torch.autograd.grad(outputs[at], inputs, bf16(4, 16, 3, 3, seed=1))[0])
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0
