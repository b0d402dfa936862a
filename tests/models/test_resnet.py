import csv
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.models.oracles import BATCH_NORM, count_parameters, normalize, randomize, record_calls
from visionlib.models import ModelBuilder
from visionlib.models.resnet import BasicBlock, Bottleneck, resnet18, resnet34, resnet50, resnet101, resnet152

_PUBLISHED = Path(__file__).parents[3] / "shared" / "reference" / "published_summary.csv"


def count_by_formula(widths: list[tuple[int, int, int]], features: int, classes: int, channels: int) -> int:
    """Add up convolutions (in, out, kernel) with two numbers per channel for the normalization, stem and linear."""
    convolutions: int = sum(k * k * i * o + 2 * o for i, o, k in [(channels, 64, 3), *widths])
    return convolutions + features * classes + classes


def list_convolutions(depths: tuple[int, ...], *, is_bottleneck: bool) -> list[tuple[int, int, int]]:
    convolutions, before = [], 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for _ in range(depth):
            after = 4 * width if is_bottleneck else width
            if is_bottleneck:
                convolutions += [(before, width, 1), (width, width, 3), (width, after, 1)]
            else:
                convolutions += [(before, width, 3), (width, width, 3)]
            # The only block of stride 2 is the first of a later stage, whose width changes too.
            convolutions += [(before, after, 1)] if before != after else []
            before = after
    return convolutions


@pytest.mark.parametrize(
    ("build", "depths", "is_bottleneck", "expected"),
    [
        (resnet18, (2, 2, 2, 2), False, 11_173_962),
        (resnet34, (3, 4, 6, 3), False, 21_282_122),
        (resnet50, (3, 4, 6, 3), True, 23_520_842),
        (resnet101, (3, 4, 23, 3), True, 42_512_970),
        (resnet152, (3, 8, 36, 3), True, 58_156_618),
    ],
)
def test_parameter_counts_follow_the_formula(
    build: ModelBuilder, depths: tuple[int, ...], is_bottleneck: bool, expected: int
) -> None:
    features = 2048 if is_bottleneck else 512
    convolutions = list_convolutions(depths, is_bottleneck=is_bottleneck)
    assert count_by_formula(convolutions, features, 10, 3) == expected
    with torch.device("meta"):
        assert count_parameters(build()) == expected
        assert count_parameters(build(classes=7, channels=1)) == count_by_formula(convolutions, features, 7, 1)


@pytest.mark.skipif(not _PUBLISHED.is_file(), reason="../shared/reference/published_summary.csv is absent")
def test_hook_order_is_that_of_the_published_table() -> None:
    with _PUBLISHED.open(newline="") as file:
        published = [
            (row["layer"].rpartition("-")[0], tuple(map(int, row["output_shape"].split(","))), int(row["params"]))
            for row in csv.DictReader(file)
        ]
    with torch.device("meta"):
        calls = record_calls(resnet18(), torch.empty(2, 3, 32, 32))
    silent_there = {"ReLU", "AdaptiveAvgPool2d", "Sequential"}
    assert [(kind, shape, params) for _, kind, shape, params in calls if kind not in silent_there] == published


def test_modules_are_named_and_called_like_kuangliu() -> None:
    with torch.device("meta"):
        model = resnet50(classes=10)
        calls = record_calls(model, torch.empty(1, 3, 32, 32))
    assert [name for name, _, _, params in calls if params and name.startswith("layer2.0")] == [
        f"layer2.0.{name}" for name in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "shortcut.0", "shortcut.1")
    ]
    with torch.device("meta"):
        names = list(resnet18().state_dict())
    assert names[:7] == ["conv1.weight", *(f"bn1.{n}" for n in BATCH_NORM), "layer1.0.conv1.weight"]
    assert names[-2:] == ["linear.weight", "linear.bias"]
    block = ["conv1.weight", *(f"bn1.{n}" for n in BATCH_NORM), "conv2.weight", *(f"bn2.{n}" for n in BATCH_NORM)]
    assert [name.removeprefix("layer1.1.") for name in names if name.startswith("layer1.1.")] == block
    block += ["shortcut.0.weight", *(f"shortcut.1.{n}" for n in BATCH_NORM)]
    assert [name.removeprefix("layer4.0.") for name in names if name.startswith("layer4.0.")] == block


@pytest.mark.parametrize(("in_width", "stride"), [(3, 1), (5, 1), (5, 2)])
def test_basic_block_is_its_formula(in_width: int, stride: int) -> None:
    block = BasicBlock(in_width, 3, stride)
    state = randomize(block)
    inputs = torch.randn(2, in_width, 7, 6, dtype=torch.float64)
    before = inputs.clone()
    path = F.conv2d(inputs, state["conv1.weight"], stride=stride, padding=1)
    path = normalize(path, state, "bn1").clamp(min=0)
    path = normalize(F.conv2d(path, state["conv2.weight"], padding=1), state, "bn2")
    if in_width == 3:
        shortcut = inputs
    else:
        sampled = inputs[:, :, ::stride, ::stride]
        projected = torch.einsum("oc,nchw->nohw", state["shortcut.0.weight"][:, :, 0, 0], sampled)
        shortcut = normalize(projected, state, "shortcut.1")
    torch.testing.assert_close(block(inputs), (path + shortcut).clamp(min=0))
    assert torch.equal(inputs, before)


def test_bottleneck_is_its_formula() -> None:
    block = Bottleneck(6, 2, stride=2)
    state = randomize(block)
    inputs = torch.randn(2, 6, 5, 8, dtype=torch.float64)
    path = normalize(F.conv2d(inputs, state["conv1.weight"]), state, "bn1").clamp(min=0)
    path = normalize(F.conv2d(path, state["conv2.weight"], stride=2, padding=1), state, "bn2").clamp(min=0)
    path = normalize(F.conv2d(path, state["conv3.weight"]), state, "bn3")
    shortcut = normalize(F.conv2d(inputs, state["shortcut.0.weight"], stride=2), state, "shortcut.1")
    torch.testing.assert_close(block(inputs), (path + shortcut).clamp(min=0))


@pytest.mark.parametrize("side_px", [28, 33, 64, 96])
@pytest.mark.parametrize("build", [resnet18, resnet50])
def test_any_image_size_works(build: ModelBuilder, side_px: int) -> None:
    with torch.device("meta"):
        assert build(classes=7, channels=1)(torch.empty(2, 1, side_px, side_px + 3)).shape == (2, 7)


def test_global_average_is_the_4x4_average_at_32_px() -> None:
    features = torch.randn(2, 512, 4, 4)
    with torch.device("meta"):
        pool = resnet18().pool
    torch.testing.assert_close(pool(features), F.avg_pool2d(features, 4))


def test_every_activation_has_a_module_of_its_own() -> None:
    with torch.device("meta"):
        model = resnet50()
        calls = record_calls(model, torch.empty(1, 3, 32, 32))
    names = [name for name, kind, _, _ in calls if kind == "ReLU"]
    assert len(names) == len(set(names)) == 1 + 3 * 16
    assert not any(module.inplace for module in model.modules() if isinstance(module, nn.ReLU))
