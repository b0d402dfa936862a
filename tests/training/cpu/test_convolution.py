"""Each convolution takes the algorithm that is fastest for its shape and this CPU; afterwards nothing has changed."""

import pytest
import torch
from torch import nn

from tests.training.cpu.test_im2col import seeded
from visionlib.models import build_model
from visionlib.training.cpu import convolution as module
from visionlib.training.cpu.convolution import (
    Algorithms,
    accelerated_convolutions,
    choose_algorithms,
    convolve,
    is_supported,
)

TORCH, IM2COL, KERNEL = Algorithms(), Algorithms("im2col", "im2col", "im2col"), Algorithms(filter_gradient="kernel")
FILTERS = Algorithms(filter_gradient="im2col")
POINTWISE = Algorithms(input_gradient="im2col", filter_gradient="im2col")


def supported(model: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in model.modules() if is_supported(layer)]


def test_gradients_equal_torchs_and_no_forward_stays_replaced() -> None:
    model = build_model("resnet18", classes=10, seed=0).to(memory_format=torch.channels_last).double()  # type: ignore[call-overload]
    images = seeded(4, 3, 16, 16)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(images).square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    sizes = []
    expected = gradients()
    with accelerated_convolutions(supported(model), has_kernels=False):
        for layer in model.modules():
            if "forward" in vars(layer):
                layer.register_forward_hook(lambda _, inputs, outputs: sizes.append(tuple(outputs.shape[-2:])))
        results = gradients()
    assert sizes.count((2, 2)) == 5  # the last stage
    assert len(sizes) == 20  # every convolution
    for ours, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_forward_is_restored_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Linear(9, 1))
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        accelerated_convolutions(supported(model), has_kernels=False),
    ):
        model(torch.zeros(1, 1, 2, 2))
    assert "forward" not in vars(model[0])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, stride=3),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, stride=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, padding_mode="circular"),
        nn.Conv2d(4, 4, 1, padding=1, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
    ],
)
def test_other_convolutions_are_not_supported(layer: nn.Conv2d) -> None:
    assert not is_supported(layer)


def test_bf16_stays_bf16() -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    inputs = seeded(2, 8, 2, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), accelerated_convolutions([layer], has_kernels=False):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert outputs.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("channels", "width", "side_px", "size", "stride", "with_kernels", "without"),
    [
        (512, 512, 4, 3, 1, IM2COL, IM2COL),
        (256, 512, 8, 3, 2, IM2COL, IM2COL),
        (256, 256, 6, 3, 1, FILTERS, FILTERS),
        (256, 256, 8, 3, 1, KERNEL, FILTERS),
        (128, 256, 16, 3, 2, FILTERS, FILTERS),
        (128, 128, 4, 3, 1, FILTERS, FILTERS),
        (128, 128, 16, 3, 1, KERNEL, TORCH),
        (64, 64, 32, 3, 1, KERNEL, TORCH),
        (64, 128, 32, 3, 2, TORCH, TORCH),
        (3, 64, 32, 3, 1, TORCH, TORCH),
        (16, 16, 32, 3, 1, TORCH, TORCH),
        (64, 128, 32, 1, 2, POINTWISE, POINTWISE),
    ],
)
def test_the_algorithm_follows_from_the_shape(
    channels: int, width: int, side_px: int, size: int, stride: int, with_kernels: Algorithms, without: Algorithms
) -> None:
    inputs, filters = torch.Size((9, channels, side_px, side_px)), torch.Size((width, channels, size, size))
    assert choose_algorithms(inputs, filters, stride, has_kernels=True) == with_kernels
    assert choose_algorithms(inputs, filters, stride, has_kernels=False) == without


@pytest.mark.parametrize(
    ("features", "side_px", "is_expected"),
    [({"amx_bf16"}, 4, True), ({"amx_bf16"}, 12, False), ({"avx512_bf16"}, 4, False)],
)
def test_im2col_is_used_where_the_cpu_has_amx(
    features: set[str], side_px: int, is_expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def spy(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        return convolve(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "has_cpu_feature", features.__contains__)
    monkeypatch.setattr(module, "convolve", spy)
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False)
    inputs = seeded(2, 256, side_px, side_px, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), accelerated_convolutions([layer], has_kernels=False):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert bool(calls) is is_expected
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)
    calls.clear()
    with accelerated_convolutions([layer], has_kernels=False):
        layer(inputs)
    assert not calls  # AMX multiplies bf16 only
