"""Each convolution goes the way that is known for its shape and this processor, and is left as it was."""

import pytest
import torch
from torch import nn
from visionlib.training.cpu.accelerated import choose_algorithms, fast_convolutions

from tests.training.test_patch_products import seeded
from visionlib.inference.device import Compute, choose_compute
from visionlib.models import build_model
from visionlib.training import fast_convolutions as module
from visionlib.training.cpu.convolution import Algorithms, convolve

CPU = choose_compute("cpu")
GPU = Compute("cuda:0", "bf16", 1, "a GPU", "as asked")
PATCHES, WAY_BACK, KERNEL = (
    Algorithms("patches", "patches", "patches"),
    Algorithms(of_filters="patches"),
    Algorithms(of_filters="kernel"),
)
POINTS = Algorithms(of_inputs="patches", of_filters="patches")


def test_a_network_trains_the_same_and_is_left_as_it_was() -> None:
    model = build_model("resnet18", classes=10, seed=0).to(memory_format=torch.channels_last).double()  # type: ignore[call-overload]
    images = seeded(4, 3, 16, 16)

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(images).square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    used = []
    expected = gradients()
    with fast_convolutions(model, CPU):
        for layer in model.modules():
            if "forward" in vars(layer):
                layer.register_forward_hook(lambda _, inputs, outputs: used.append(tuple(outputs.shape[-2:])))
        found = gradients()
    assert used.count((2, 2)) == 5  # the last stage
    assert len(used) == 20  # every convolution is looked at
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_it_is_left_as_it_was_after_an_error_too_and_on_a_gpu_nothing_is_touched() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Linear(9, 1))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), fast_convolutions(model, CPU):
        model(torch.zeros(1, 1, 2, 2))
    assert "forward" not in vars(model[0])
    with fast_convolutions(model, GPU):
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
def test_other_convolutions_are_left_alone(layer: nn.Conv2d) -> None:
    with fast_convolutions(nn.Sequential(layer), CPU):
        assert "forward" not in vars(layer)


def test_bf16_stays_bf16() -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    inputs = seeded(2, 8, 2, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), fast_convolutions(nn.Sequential(layer), CPU):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert outputs.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("channels", "width", "side_px", "size", "stride", "with_kernels", "without"),
    [
        (512, 512, 4, 3, 1, PATCHES, PATCHES),
        (256, 512, 8, 3, 2, PATCHES, PATCHES),
        (256, 256, 6, 3, 1, WAY_BACK, WAY_BACK),
        (256, 256, 8, 3, 1, KERNEL, WAY_BACK),
        (128, 256, 16, 3, 2, WAY_BACK, WAY_BACK),
        (128, 128, 4, 3, 1, WAY_BACK, WAY_BACK),
        (128, 128, 16, 3, 1, KERNEL, Algorithms()),
        (64, 64, 32, 3, 1, KERNEL, Algorithms()),
        (64, 128, 32, 3, 2, Algorithms(), Algorithms()),
        (3, 64, 32, 3, 1, Algorithms(), Algorithms()),
        (16, 16, 32, 3, 1, Algorithms(), Algorithms()),
        (64, 128, 32, 1, 2, POINTS, POINTS),
    ],
)
def test_the_way_follows_from_the_shape(
    channels: int, width: int, side_px: int, size: int, stride: int, with_kernels: Algorithms, without: Algorithms
) -> None:
    inputs, filters = torch.Size((9, channels, side_px, side_px)), torch.Size((width, channels, size, size))
    assert choose_algorithms(inputs, filters, stride, has_own_kernels=True) == with_kernels
    assert choose_algorithms(inputs, filters, stride, has_own_kernels=False) == without


@pytest.mark.parametrize(
    ("features", "side_px", "is_expected"),
    [({"amx_bf16"}, 4, True), ({"amx_bf16"}, 12, False), ({"avx512_bf16"}, 4, False)],
)
def test_it_is_taken_where_the_processor_gains(
    features: set[str], side_px: int, is_expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def spy(*arguments: object) -> torch.Tensor:
        used.append(arguments)
        return convolve(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "has_cpu_feature", features.__contains__)
    monkeypatch.setattr(module, "convolve", spy)
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False)
    inputs = seeded(2, 256, side_px, side_px, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), fast_convolutions(nn.Sequential(layer), CPU):
        outputs = layer(inputs)
        plain = nn.Conv2d.forward(layer, inputs)
    assert bool(used) is is_expected
    torch.testing.assert_close(outputs, plain, rtol=0.02, atol=0.02)
    used.clear()
    with fast_convolutions(nn.Sequential(layer), CPU):
        layer(inputs)
    assert not used  # in fp32 there are no matrix units
