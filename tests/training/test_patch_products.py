"""Convolutions as products with patches: the same figures, taken where the hardware gains."""

import pytest
import torch
from torch import nn

from tests.training.test_small_maps import seeded
from visionlib.training import small_maps
from visionlib.training.patch_products import convolve_patches
from visionlib.training.small_maps import small_maps_as_products


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (4, 4), (5, 2)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_figures_and_gradients_are_those_of_the_convolution(
    size: tuple[int, int], stride: int, layout: torch.memory_format
) -> None:
    found = []
    for convolve in (convolve_patches, lambda x, w, s: nn.functional.conv2d(x, w, padding=1, stride=s)):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, 3, 3).to(memory_format=layout).requires_grad_()
        outputs = convolve(inputs, filters, stride)
        gradients = torch.autograd.grad((outputs * seeded(*outputs.shape)).sum(), (inputs, filters))
        found.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", ["inputs", "filters"])
def test_only_the_gradients_that_are_wanted_are_worked_out(wanted: str) -> None:
    tensors = {"inputs": seeded(1, 2, 3, 3), "filters": seeded(2, 2, 3, 3)}
    tensors[wanted].requires_grad_()
    convolve_patches(tensors["inputs"], tensors["filters"], 1).sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [wanted]


@pytest.mark.parametrize(
    ("features", "channels", "side_px", "stride", "is_expected"),
    [
        ({"amx_bf16"}, 256, 4, 1, True),
        ({"amx_bf16"}, 256, 8, 2, True),
        ({"amx_bf16"}, 256, 5, 1, False),
        ({"amx_bf16"}, 128, 4, 1, False),
        ({"avx512_bf16"}, 256, 4, 1, False),
    ],
)
def test_they_are_taken_where_the_processor_gains(
    features: set[str], channels: int, side_px: int, stride: int, is_expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def convolve(*arguments: torch.Tensor) -> torch.Tensor:
        used.append(arguments)
        return convolve_patches(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(small_maps, "has_cpu_feature", features.__contains__)
    monkeypatch.setattr(small_maps, "convolve_patches", convolve)
    layer = nn.Conv2d(channels, channels, 3, padding=1, stride=stride, bias=False)
    inputs = seeded(2, channels, side_px, side_px, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), small_maps_as_products(nn.Sequential(layer), "cpu"):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert bool(used) is is_expected
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)
    used.clear()
    with small_maps_as_products(nn.Sequential(layer), "cpu"):
        layer(inputs)
    assert not used  # in fp32 there are no matrix units
