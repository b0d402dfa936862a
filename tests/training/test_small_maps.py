"""Convolutions of small maps as products: the same figures."""

import itertools

import pytest
import torch
from torch import nn

from visionlib.models import build_model
from visionlib.training.small_maps import convolve_as_product, small_maps_as_products

SIDES = list(itertools.product((1, 2), (1, 2)))


def seeded(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_figures_and_gradients_are_those_of_the_convolution(size: tuple[int, int], layout: torch.memory_format) -> None:
    found = []
    for convolve in (convolve_as_product, lambda x, w: nn.functional.conv2d(x, w, padding=1)):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, 3, 3).to(memory_format=layout).requires_grad_()
        outputs = convolve(inputs, filters)
        gradients = torch.autograd.grad((outputs * seeded(3, 7, *size)).sum(), (inputs, filters))
        found.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_network_trains_the_same_and_is_left_as_it_was() -> None:
    model = build_model("resnet18", classes=10, seed=0).to(memory_format=torch.channels_last).double()  # type: ignore[call-overload]
    images = seeded(4, 3, 16, 16)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(images).square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    used = []
    expected = gradients()
    with small_maps_as_products(model, "cpu"):
        for layer in model.modules():
            if "forward" in vars(layer):
                layer.register_forward_hook(lambda _, inputs, outputs: used.append(tuple(outputs.shape[-2:])))
        found = gradients()
    assert used.count((2, 2)) == 4  # the last stage
    assert len(used) == 17  # every 3 x 3 convolution is looked at
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_it_is_left_as_it_was_after_an_error_too_and_on_a_gpu_nothing_is_touched() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Linear(9, 1))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), small_maps_as_products(model, "cpu"):
        model(torch.zeros(1, 1, 2, 2))
    assert "forward" not in vars(model[0])
    with small_maps_as_products(model, "cuda:0"):
        assert "forward" not in vars(model[0])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, stride=3),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, padding_mode="circular"),
        nn.Conv2d(4, 4, 1, padding=1, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Conv2d) -> None:
    with small_maps_as_products(nn.Sequential(layer), "cpu"):
        assert "forward" not in vars(layer)


def test_bf16_stays_bf16() -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    inputs = seeded(2, 8, 2, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), small_maps_as_products(nn.Sequential(layer), "cpu"):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert outputs.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)
