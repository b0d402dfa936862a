"""Every field agrees with the gradient, for every layer of every network, and published values are reproduced."""

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.oracles import field_by_gradient
from tests.summary.networks import PUBLISHED, SMALL
from visionlib.models import MODELS, build_model
from visionlib.summary import summarize
from visionlib.summary.verify import verify

LOCAL = [name for name, (_, _, is_local) in SMALL.items() if is_local]
CHANNELS_LAST = {"Linear", "LayerNorm", "GELU"}
"""Within channels-last blocks: not measured by the oracle, which takes dimension 1 for the channels."""
WINDOWED = {"windows", "shifted_windows"}
"""Nor are the layers within blocks that cut images into windows."""


VARIANTS = {
    "gridding": "dilated_1_2_4_8",
    "depthwise_separable": "grouped_pointwise",
    "padding_zeros": "plain",
    "transposed_4_kernel": "transposed_2",
    "unet_transposed": "unet_transposed_to_odd_size",
    "unet_nearest": "unet_nearest_to_odd_size",
    "unet_nearest_to_size": "unet_nearest_to_odd_size",
    "unet_bilinear": "bilinear_to_given_size",
    "unet_bilinear_to_odd_size": "bilinear_to_given_size",
    "unet_aligned_to_odd_size": "unet_bilinear_aligned",
    "inception": "dense",
    "bottlenecks": "residual",
    "windows": "shifted_windows",
    "vision_transformer": "token_attention",
}
"""Networks of the zoo, and others that have their operations too; the first are measured by `make slow`."""


def sample(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in names]


@pytest.mark.parametrize("name", sample(SMALL))
def test_every_layer_agrees_with_its_gradient(name: str) -> None:
    build, input_size, _ = SMALL[name]
    torch.manual_seed(0)
    verification = verify(build(), input_size)
    assert verification.mismatch is None
    assert verification.positions > 0


@pytest.mark.parametrize("name", sample(LOCAL))
def test_the_field_is_that_of_a_larger_image(name: str) -> None:
    """Computed on a small image, where it extends beyond the border, and measured on one where it does not."""
    build, (channels, *sides), _ = SMALL[name]
    torch.manual_seed(0)
    model = build()
    rows = summarize(model, (channels, *sides)).layers
    measured = field_by_gradient(model, (channels, *[96 if len(sides) < 3 else 48] * len(sides)))
    pairs = [
        (row.receptive_field, large)
        for row, large in zip(rows, measured, strict=True)
        if row.receptive_field is not None
        and large is not None
        and row.type not in CHANNELS_LAST
        and not (name in WINDOWED and row.depth > 1)
    ]
    assert pairs
    for ours, large in pairs:
        assert ours == large


DEEP = {"slim_resnet_v1_101", "slim_resnet_v1_152", "resnet101"}
"""More of the blocks of their shallower relatives."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEEP else []) for name in PUBLISHED]
)
def test_published_figures(name: str) -> None:
    build, receptive_field, jump = PUBLISHED[name]
    with torch.device("meta"):  # without the seconds that drawing the weights takes
        model = build()
    for input_size in ((3, 224, 224), (3, 128, 150)):
        last = summarize(model, input_size).layers[0]
        assert last.receptive_field == (receptive_field, receptive_field)
        assert last.smallest_receptive_field == last.receptive_field
        assert last.jump == (Fraction(jump), Fraction(jump))


def test_the_pools_of_vgg16() -> None:
    build, _, _ = PUBLISHED["vgg16"]
    with torch.device("meta"):
        model = build()
    pools = [row for row in summarize(model, (3, 64, 64)).layers if row.type == "MaxPool2d"]
    assert [row.receptive_field for row in pools] == [(6, 6), (16, 16), (44, 44), (100, 100), (212, 212)]


@pytest.mark.parametrize(
    "name",
    [
        name if name == "cnn8" else pytest.param(name, marks=pytest.mark.slow)
        for name in MODELS
        if name not in {"resnet152", "resnet1202"}
    ],
)
def test_the_built_in_networks(name: str) -> None:
    verification = verify(build_model(name), (3, 24, 20))
    assert verification.mismatch is None


class RandomGraph(nn.Module):
    """Layers of random kinds, each of which reads one or two of the earlier ones."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        dice = random.Random(seed)
        self.layers = nn.ModuleList()
        self.sources: list[tuple[int, ...]] = []
        self.joins: list[str] = []
        for number in range(dice.randint(3, 7)):
            self.layers.append(_draw_layer(dice))
            self.sources.append(tuple(dice.sample(range(number + 1), k=min(number + 1, dice.randint(1, 2)))))
            self.joins.append(dice.choice(["add", "multiply", "concatenate"]))

    def forward(self, images: Tensor) -> Tensor:
        outputs = [images]
        for layer, sources, join in zip(self.layers, self.sources, self.joins, strict=True):
            outputs.append(layer(_join([outputs[source] for source in sources], join)))
        return outputs[-1]


def _draw_layer(dice: random.Random) -> nn.Module:
    kernel, stride, dilation = dice.randint(1, 4), dice.choice([1, 1, 1, 2, 3]), dice.choice([1, 1, 2])
    padding = dice.randint(0, kernel // 2)
    kinds: list[nn.Module] = [
        nn.Conv2d(3, 3, (kernel, dice.randint(1, 3)), stride, (padding, 0), dilation, groups=dice.choice([1, 3])),
        nn.Conv2d(3, 3, 3, padding=dice.randint(0, 2), padding_mode=dice.choice(["zeros", "reflect", "circular"])),
        nn.ConvTranspose2d(3, 3, kernel, stride, dilation=dilation),
        nn.MaxPool2d(kernel, stride, padding, ceil_mode=dice.random() < 0.5),
        nn.AvgPool2d(kernel, stride, padding, ceil_mode=dice.random() < 0.5),
        nn.Upsample(scale_factor=dice.choice([1.5, 2, 3]), mode="nearest"),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=dice.random() < 0.5),
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace=True)),
    ]
    return dice.choice(kinds)


def _join(tensors: Sequence[Tensor], join: str) -> Tensor:
    """Crop to the smallest, and join to three channels."""
    height, width = (min(tensor.shape[dim] for tensor in tensors) for dim in (2, 3))
    cropped = [tensor[:, :, :height, :width] for tensor in tensors]
    if join == "concatenate":
        return torch.cat(cropped, dim=1)[:, -3:]
    joined = cropped[0]
    for tensor in cropped[1:]:
        joined = joined + tensor if join == "add" else joined * tensor
    return joined


@pytest.mark.parametrize("examples", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_random_graphs(examples: int) -> None:
    drawn = given(seed=st.integers(0, 2**20), height=st.integers(9, 21), width=st.integers(9, 21))
    settings(max_examples=examples, deadline=None, derandomize=True)(drawn(verify_random_graph))()


def verify_random_graph(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    model = RandomGraph(seed)
    try:
        model(torch.zeros(1, 3, height, width))
    except RuntimeError:
        return  # a window that is larger than what is left of the image
    assert verify(model, (3, height, width)).mismatch is None
