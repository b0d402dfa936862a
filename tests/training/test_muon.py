"""Muon equals its formula, written with singular value decompositions, and SGD where it is SGD."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from visionlib.data import Dataset
from visionlib.training import TrainConfig, train
from visionlib.training.muon import Muon, orthogonalize, orthogonalize_all
from visionlib.training.optimizer import make_optimizer, set_rates


def quintic(values: Tensor) -> Tensor:
    return 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5


def orthogonalize_by_svd(matrix: Tensor) -> Tensor:
    """Apply the polynomial to each singular value."""
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / matrix.double().norm()
    for _ in range(3):
        s = quintic(s)
    orthogonal: Tensor = u @ torch.diag(s) @ vt
    return orthogonal


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (6, 6), (1, 5), (5, 1)])
def test_the_iteration_changes_singular_values_alone(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape)
    for matrix, orthogonal in zip(matrices, orthogonalize(matrices), strict=True):
        torch.testing.assert_close(orthogonal.double(), orthogonalize_by_svd(matrix), atol=2e-5, rtol=1e-4)


def test_singular_values_become_similar_also_in_bf16() -> None:
    u, _, vt = torch.linalg.svd(torch.randn(64, 300), full_matrices=False)
    matrix = u @ torch.diag(torch.linspace(1, 0.1, 64)) @ vt
    for dtype in (torch.float32, torch.bfloat16):
        values = torch.linalg.svdvals(orthogonalize(matrix[None], dtype)[0])
        assert float(values.max()) < 1.25
        assert float(values.min()) > 0.3
    assert not orthogonalize(torch.zeros(1, 4, 7)).any()


def trained(optimize: Callable[[nn.Module], torch.optim.Optimizer], model: nn.Module, rates: list[float]) -> nn.Module:
    model = copy.deepcopy(model)
    optimizer = optimize(model)
    inputs = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    return model


def test_other_parameters_are_trained_by_sgd() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))
    config = TrainConfig(optimizer="muon", weight_decay=0.01, momentum=0.8)
    muon = trained(lambda m: make_optimizer(m, config), model, [0.1, 0.2, 0.05])
    sgd = trained(lambda m: make_optimizer(m, config.replace(optimizer="sgd")), model, [0.1, 0.2, 0.05])
    assert any(not torch.equal(a, b) for a, b in zip(muon.parameters(), model.parameters(), strict=True))
    for a, b in zip(muon.parameters(), sgd.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_filters_keep_their_norm_and_change_by_the_rate() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, bias=False))
    before = [p.detach().clone() for p in model.parameters() if p.ndim == 4]
    config = TrainConfig(optimizer="muon", muon_momentum=0.0)
    after = [p.detach() for p in trained(lambda m: make_optimizer(m, config), model, [0.1]).parameters() if p.ndim == 4]
    for old, new in zip(before, after, strict=True):
        # The singular values of an update are between 0.7 and 1.21.
        assert 0.7 * 0.1 < float((old - new).norm() / old.norm()) < 1.21 * 0.1
    # A step changes the norm; the next one first restores it.
    twice = trained(lambda m: make_optimizer(m, config), model, [0.1, 0.0])
    for old, new in zip(before, (p.detach() for p in twice.parameters() if p.ndim == 4), strict=True):
        assert float(new.norm()) == pytest.approx(float(old.norm()), rel=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [(3, 8), (2, 30)])
def test_a_step_of_filters_equals_the_formula(device: str, memory_format: Any, channels: tuple[int, int]) -> None:
    weight = torch.randn(channels[1], channels[0], 3, 3, dtype=torch.float64)
    parameter = nn.Parameter(weight.float().to(device, memory_format=memory_format))
    group = {"params": [parameter], "is_orthogonalized": True, "weight_decay": 0.01}
    optimizer = Muon([group], momentum=0.6, sgd_momentum=0.9, dtype=torch.float32)
    norm, momentum = weight.norm(), torch.zeros_like(weight)
    for rate in (0.1, 0.3, 0.2):
        gradient = torch.randn_like(weight)
        parameter.grad = gradient.float().to(device, memory_format=memory_format)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        gradient = gradient + 0.01 * weight
        momentum = 0.6 * momentum + gradient
        update = orthogonalize_by_svd((gradient + 0.6 * momentum).flatten(1)).view_as(weight)
        scale = rate * norm / min(update.flatten(1).shape) ** 0.5
        weight = weight * norm / weight.norm() - scale * update
        torch.testing.assert_close(parameter.detach().cpu().double(), weight, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_gradients_change_no_filters(dtype: torch.dtype) -> None:
    conv = nn.Conv2d(3, 8, 3, bias=False)
    before, conv.weight.grad = conv.weight.detach().clone(), torch.zeros_like(conv.weight)
    group = {"params": [conv.weight], "is_orthogonalized": True, "weight_decay": 0.0}
    optimizer = Muon([group], momentum=0.6, sgd_momentum=0.9, dtype=dtype)
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    torch.testing.assert_close(conv.weight.detach(), before)


def test_the_memory_format_does_not_matter() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=2))
    config = TrainConfig(optimizer="muon")
    rates = [0.1, 0.2, 0.1]
    plain = trained(lambda m: make_optimizer(m, config), model, rates)
    channels_last = copy.deepcopy(model)
    for parameter in channels_last.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    last = trained(lambda m: make_optimizer(m, config), channels_last, rates)
    for a, b in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_matrices_in_a_batch_or_one_by_one() -> None:
    shapes = [(4, 27), (4, 9), (16, 4), (6, 6), (4, 27), (7, 30), (6, 2)]
    matrices = [torch.randn(shape) for shape in shapes]
    single = [orthogonalize(matrix[None])[0] for matrix in matrices]
    batched = orthogonalize_all(matrices, torch.float32)
    for matrix, a, b in zip(matrices, single, batched, strict=True):
        assert a.shape == b.shape == matrix.shape
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_parameter_without_gradient_is_not_changed() -> None:
    conv, idle = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    optimizer = Muon(
        [
            {"params": [conv.weight, idle.weight], "is_orthogonalized": True, "weight_decay": 0.0},
            {"params": [conv.bias], "is_orthogonalized": False, "weight_decay": 0.0},
        ],
        momentum=0.6,
        sgd_momentum=0.9,
        dtype=torch.float32,
    )
    set_rates(optimizer, TrainConfig(), 0.1)
    before = idle.weight.detach().clone()
    conv(torch.randn(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    assert torch.equal(idle.weight, before)


def test_a_run_trains_with_muon(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    run = train(small_shapes, small_config.replace(optimizer="muon", epochs=1), out=tmp_path / "run")
    assert run.weights.is_file()
