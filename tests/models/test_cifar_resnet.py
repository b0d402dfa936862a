import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.models.oracles import BATCH_NORM, count_parameters, normalize, randomize, record_calls
from visionlib.models import ModelBuilder
from visionlib.models.cifar_resnet import (
    CifarBasicBlock,
    SubsampleShortcut,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
    resnet1202,
)


@pytest.mark.parametrize(
    ("build", "layers", "published_millions", "expected"),
    [
        (resnet20, 20, "0.27", 269_722),
        (resnet32, 32, "0.46", 464_154),
        (resnet44, 44, "0.66", 658_586),
        (resnet56, 56, "0.85", 853_018),
        (resnet110, 110, "1.7", 1_727_962),
        (resnet1202, 1202, "19.4", 19_421_274),
    ],
)
def test_parameter_counts_follow_the_formula_and_the_paper(
    build: ModelBuilder, layers: int, published_millions: str, expected: int
) -> None:
    # A stage of n blocks and width w has 2n convolutions of 9 w^2, the first of a later stage 9 w^2 / 2, and 4n w
    # numbers of normalization; stem 27 * 16 + 2 * 16; linear 64 * 10 + 10.
    n = (layers - 2) // 6
    first, second, third = (2 * n * 9 * w * w + 4 * n * w for w in (16, 32, 64))
    formula = first + (second - 9 * 32 * 32 // 2) + (third - 9 * 64 * 64 // 2) + 27 * 16 + 32 + 650
    assert formula == expected
    assert f"{expected / 1e6:.{len(published_millions.split('.')[1])}f}" == published_millions
    with torch.device("meta"):
        model = build()
        assert count_parameters(model) == expected
        assert count_parameters(build(classes=100, channels=1)) == expected + 90 * 65 - 2 * 9 * 16
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == layers


def test_modules_are_named_like_akamaster() -> None:
    with torch.device("meta"):
        names = list(resnet20().state_dict())
    expected = ["conv1.weight", *(f"bn1.{n}" for n in BATCH_NORM)]
    for stage in (1, 2, 3):
        for block in range(3):
            for part in (1, 2):
                expected.append(f"layer{stage}.{block}.conv{part}.weight")
                expected += [f"layer{stage}.{block}.bn{part}.{n}" for n in BATCH_NORM]
    assert names == [*expected, "linear.weight", "linear.bias"]


def test_shortcut_subsamples_and_pads_by_hand() -> None:
    inputs = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(1, 2, 3, 4)
    zeros = [[0.0, 0.0], [0.0, 0.0]]
    expected = torch.tensor([[zeros, [[0.0, 2.0], [8.0, 10.0]], [[12.0, 14.0], [20.0, 22.0]], zeros]])
    assert torch.equal(SubsampleShortcut(2, 4)(inputs), expected)


@pytest.mark.parametrize(("in_width", "width", "stride"), [(4, 4, 1), (4, 8, 2)])
def test_block_is_its_formula(in_width: int, width: int, stride: int) -> None:
    block = CifarBasicBlock(in_width, width, stride)
    state = randomize(block)
    inputs = torch.randn(2, in_width, 7, 6, dtype=torch.float64)
    path = F.conv2d(inputs, state["conv1.weight"], stride=stride, padding=1)
    path = normalize(path, state, "bn1").clamp(min=0)
    path = normalize(F.conv2d(path, state["conv2.weight"], padding=1), state, "bn2")
    shortcut = torch.zeros_like(path)
    before = (width - in_width) // 2
    for channel in range(in_width):
        shortcut[:, before + channel] = inputs[:, channel, ::stride, ::stride]
    torch.testing.assert_close(block(inputs), (path + shortcut).clamp(min=0))


@pytest.mark.parametrize("size", [(28, 28), (33, 31), (96, 64)])
def test_any_image_size_works(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert resnet20(classes=7, channels=1)(torch.empty(2, 1, *size)).shape == (2, 7)


def test_stages_have_the_shapes_of_the_paper() -> None:
    with torch.device("meta"):
        calls = record_calls(resnet56(), torch.empty(1, 3, 32, 32))
    shapes = {name: shape for name, _, shape, _ in calls}
    assert [shapes[f"layer{i}"] for i in (1, 2, 3)] == [(-1, 16, 32, 32), (-1, 32, 16, 16), (-1, 64, 8, 8)]


def test_weights_are_drawn_as_he_does() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weight = resnet20().get_parameter("layer3.2.conv2.weight").detach()
    # It takes in 64 channels of 3x3.
    assert float(weight.std()) == pytest.approx((2 / 576) ** 0.5, rel=0.02)
