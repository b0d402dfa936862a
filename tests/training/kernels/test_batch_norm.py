"""A fused normalisation gives the figures of its formulas, and the same bits with any number of threads."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.kernels import needs_kernels
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
@pytest.mark.parametrize("rectifies", [False, True])
@pytest.mark.parametrize("forks", [False, True])
def test_figures_and_gradients_are_those_of_the_formulas(
    shape: tuple[int, ...], has_shortcut: bool, rectifies: bool, forks: bool
) -> None:
    norm = norm_of(shape[1])
    exact = copy.deepcopy(norm).double()
    inputs, shortcut = bf16(*shape).requires_grad_(), bf16(*shape, seed=1).requires_grad_()
    arriving = [bf16(*shape, seed=2), bf16(*shape, seed=3)][: 2 if forks else 1]
    fused = FusedNorm(norm, rectifies=rectifies, forks=forks)
    given = (inputs, shortcut) if has_shortcut else (inputs,)
    outputs = fused(*given)
    found = torch.autograd.grad(outputs, (*given, norm.weight, norm.bias), arriving if forks else arriving[0])

    doubles = [in_double(tensor) for tensor in given]
    mean = doubles[0].mean((0, 2, 3), keepdim=True)
    deviation = (doubles[0].var((0, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
    weight, bias = exact.weight.view(1, -1, 1, 1), exact.bias.view(1, -1, 1, 1)
    expected = (doubles[0] - mean) / deviation * weight + bias
    expected = expected + doubles[1] if has_shortcut else expected
    expected = F.relu(expected) if rectifies else expected
    gradient = torch.stack(arriving).double().sum(0)
    wanted = torch.autograd.grad(expected, (*doubles, exact.weight, exact.bias), gradient)

    for each in outputs if forks else [outputs]:
        assert each.dtype == torch.bfloat16
        assert each.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(each.double(), expected, rtol=2**-8, atol=1e-5)
    for ours, theirs in zip(found, wanted, strict=True):
        # Where a rectifier's input is nearly 0 its sign is rounding; nothing here is.
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=2**-7, atol=2**-8 * scale)


def test_running_statistics_are_torchs() -> None:
    norm, theirs = norm_of(32), norm_of(32)
    inputs = bf16(5, 32, 4, 3)
    for _ in range(3):
        FusedNorm(norm, rectifies=True)(inputs)
        theirs(inputs.float())
    assert norm.num_batches_tracked == 3
    torch.testing.assert_close(norm.running_mean, theirs.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, theirs.running_var, rtol=1e-5, atol=1e-6)


def test_a_mean_that_is_large_beside_the_deviation_costs_no_digits() -> None:
    inputs = (1000 + 4 * torch.randint(0, 3, (50, 16, 8, 8))).bfloat16().contiguous(memory_format=torch.channels_last)
    norm = nn.BatchNorm2d(16, momentum=1.0)
    FusedNorm(norm, rectifies=False)(inputs)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var.double(), inputs.double().var((0, 2, 3)), rtol=1e-5, atol=0)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    inputs, gradient, norm = bf16(30, 64, 8, 8).requires_grad_(), bf16(30, 64, 8, 8, seed=1), norm_of(64)
    found: list[tuple[Tensor, ...]] = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            outputs = FusedNorm(norm, rectifies=True)(inputs)
            found.append((outputs, *torch.autograd.grad(outputs, (inputs, norm.weight, norm.bias), gradient)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_what_is_no_number_goes_through() -> None:
    inputs = bf16(2, 16, 4, 4)
    inputs[0, 3] = torch.nan
    outputs = FusedNorm(norm_of(16), rectifies=True)(inputs)
    assert outputs[:, 3].isnan().all()
    assert outputs[:, 4:].isfinite().all()


@pytest.mark.parametrize("case", ["float", "channels first", "odd channels", "not learning"])
def test_what_the_kernel_is_not_made_for_goes_through_torch(case: str) -> None:
    inputs = {
        "float": bf16(4, 16, 3, 3).float(),
        "channels first": bf16(4, 16, 3, 3).contiguous(),
        "odd channels": bf16(4, 10, 3, 3),
        "not learning": bf16(4, 16, 3, 3),
    }[case]
    norm = norm_of(inputs.shape[1]).train(case != "not learning")
    fused = FusedNorm(copy.deepcopy(norm), rectifies=True, forks=True)(inputs, inputs)
    assert all(torch.equal(each, F.relu(norm(inputs) + inputs)) for each in fused)


def test_a_shortcut_of_one_pixel_is_spread_as_torch_does() -> None:
    inputs, shortcut, norm = bf16(4, 16, 3, 3), bf16(4, 16, 1, 1), norm_of(16)
    outputs = FusedNorm(copy.deepcopy(norm), rectifies=False)(inputs, shortcut)
    assert torch.equal(outputs, norm(inputs) + shortcut)


def test_gradients_of_one_reader_alone_are_enough() -> None:
    inputs = bf16(4, 16, 3, 3).requires_grad_()
    gradients = []
    for at in (0, 1):
        outputs = FusedNorm(nn.BatchNorm2d(16), rectifies=True, forks=True)(inputs)
        gradients.append(torch.autograd.grad(outputs[at], inputs, bf16(4, 16, 3, 3, seed=1))[0])
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0
