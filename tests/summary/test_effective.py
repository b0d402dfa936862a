"""The effective field against values worked out by hand."""

import pytest
import torch
from torch import nn

from visionlib.errors import ModelError
from visionlib.summary.effective import effective_field


def a_convolution(kernel: torch.Tensor) -> nn.Module:
    conv = nn.Conv2d(1, 1, kernel.shape[0], padding=kernel.shape[0] // 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(kernel)
    return nn.Sequential(conv, nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(1))


def test_the_strength_is_the_kernel_itself() -> None:
    kernel = torch.tensor([[0.0, 1, 0], [2, 10, 2], [0, -1, 0]])
    field = effective_field(a_convolution(kernel), torch.rand(5, 1, 9, 9), layer="0")
    assert field.n == 5
    assert field.box == ((3, 5), (3, 5))
    assert torch.allclose(field.strength[3:6, 3:6], kernel.abs().double() / 16)
    assert float(field.strength.sum()) == pytest.approx(1)
    assert field.sides == {0.5: 1, 0.9: 3, 0.95: 3, 0.99: 3}
    # Variance along rows: 2 of 16 lie one row away; along columns 4 of 16.
    assert field.std == pytest.approx(((2 / 16) ** 0.5, (4 / 16) ** 0.5))


def test_an_even_kernel_fills_its_square_evenly() -> None:
    field = effective_field(a_convolution(torch.ones(5, 5)), torch.rand(2, 1, 11, 11), layer="0")
    assert field.sides == {0.5: 4, 0.9: 5, 0.95: 5, 0.99: 5}


def test_the_scale_of_the_gradient_does_not_matter() -> None:
    kernel = torch.rand(5, 5)
    images = torch.rand(3, 1, 11, 11)
    small, large = (effective_field(a_convolution(kernel * scale), images, "0") for scale in (1e-3, 1e3))
    assert small.sides == large.sides
    assert torch.allclose(small.strength, large.strength)


def test_the_last_map_of_positions_is_chosen_and_others_can_be_named() -> None:
    model = a_convolution(torch.ones(3, 3))
    assert effective_field(model, torch.rand(1, 1, 9, 9)).layer == "2"
    with pytest.raises(ModelError, match="9: is no layer with a map of positions; the last ones that are: 0, 1, 2"):
        effective_field(model, torch.rand(1, 1, 9, 9), "9")
    with pytest.raises(ModelError, match="has no layer with a map of positions"):
        effective_field(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), torch.rand(1, 1, 3, 3))


def test_a_dead_unit_is_an_error() -> None:
    with pytest.raises(ModelError, match="does not depend on any pixel at its middle"):
        effective_field(a_convolution(torch.zeros(3, 3)), torch.rand(1, 1, 9, 9), "0")


def test_the_state_of_the_model_is_restored() -> None:
    conv = nn.Conv2d(1, 2, 3)
    model = nn.Sequential(conv, nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    model[1].eval()
    with torch.no_grad():
        conv.weight.abs_()  # so that nothing is dead at the middle
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(4, 1, 9, 9)
    original = images.clone()
    with torch.no_grad():
        effective_field(model, images)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(images, original)
    assert images.grad is None
