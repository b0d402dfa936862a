"""Layers whose output is no tensor: maps, features and exciting images are those of the first tensor in it."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.test_state_restored import state_of
from visionlib import explain
from visionlib.data import ImageSplit
from visionlib.errors import ModelError
from visionlib.explanation import METHODS, extract_feature_maps, find_exciting_images, list_map_layers, make_map_maker
from visionlib.inference.trained_model import TrainedModel

Named = namedtuple("Named", "map aux")


@dataclass
class Loose:
    aux: Any
    map: Tensor


@dataclass(frozen=True)
class Frozen:
    map: Tensor
    aux: Any = None


class ModelOutput(OrderedDict[str, Any]):
    """As in transformers: a dict whose values are attributes, too."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        for name, value in fields.items():
            setattr(self, name, value)


KINDS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tuple": (lambda y: (y, y.mean((2, 3))), lambda r: r[0]),
    "list with None": (lambda y: [y, None], lambda r: r[0]),
    "None first": (lambda y: (None, "words", y), lambda r: r[2]),
    "dict": (lambda y: {"out": y}, lambda r: r["out"]),
    "named tuple": (lambda y: Named(y, 1), lambda r: r.map),
    "nested": (lambda y: {"a": [(None, {"b": (y, y.sum())})], "c": y}, lambda r: r["a"][0][1]["b"][0]),
    "dataclass": (lambda y: Loose(None, y), lambda r: r.map),
    "frozen dataclass": (lambda y: Frozen(y), lambda r: r.map),
    "model output by attribute": (lambda y: ModelOutput(last=y, pooled=y.mean()), lambda r: r.last),
    "model output by key": (lambda y: ModelOutput(last=y, pooled=None), lambda r: r["last"]),
    "pool with indices": (lambda y: nn.functional.max_pool2d(y, 2, return_indices=True), lambda r: r[0]),
    "torch.return_types": (lambda y: y[:, None].expand(-1, 2, -1, -1, -1).max(1), lambda r: r.values),
}


class Block(nn.Module):
    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.pack = nn.Conv2d(3, 6, 3, 2, 1), pack

    def forward(self, inputs: Tensor) -> Any:
        return self.pack(self.conv(inputs))


class Packing(nn.Module):
    """A stem, a block that packs its output, an in-place module after it, and a head."""

    def __init__(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.stem, self.block, self.unpack = nn.Conv2d(3, 3, 3, padding=1), Block(pack), unpack
        self.relu, self.linear = nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.relu(self.unpack(self.block(self.stem(inputs)))).square().mean((2, 3)))
        return logits


class Unpacking(nn.Module):
    """Takes the tensor out within the block, so that a plain tensor leaves it."""

    def __init__(self, block: Block, unpack: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.conv, self.pack, self.unpack = block.conv, block.pack, unpack

    def forward(self, inputs: Tensor) -> Tensor:
        return self.unpack(self.pack(self.conv(inputs)))


def plain(model: Packing) -> nn.Module:
    """The same network, whose block returns the tensor alone; the oracle."""
    twin = Packing(lambda y: y, lambda y: y)
    twin.stem, twin.linear = model.stem, model.linear
    twin.block = Unpacking(model.block, model.unpack)  # type: ignore[assignment]
    return twin


INPUTS, CLASSES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(2)), torch.arange(5) % 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [None, ["stem", "block"]])
def test_maps_are_of_the_tensor(kind: str, layers: list[str] | None) -> None:
    model = Packing(*KINDS[kind])
    twin, before = plain(model), state_of(model)
    for name in METHODS if kind == "nested" and not layers else ("layercam-fused", "grad-cam", "score-cam"):
        found, expected = (
            make_map_maker(name, one, (3, 16, 16), layers=layers)(one, INPUTS, CLASSES) for one in (model, twin)
        )
        assert bool(expected.any())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert state_of(model) == before


@pytest.mark.parametrize("kind", KINDS)
def test_features_and_exciting_images_are_of_the_tensor(kind: str) -> None:
    images = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8)
    network = Packing(*KINDS[kind])
    model, twin = (TrainedModel.from_network(one, (0.5,) * 3, (0.3,) * 3) for one in (network, plain(network)))
    assert torch.equal(
        extract_feature_maps(model, images, "block").maps, extract_feature_maps(twin, images, "block").maps
    )
    split = ImageSplit(images, torch.arange(7) % 3, ("a", "b", "c"), torch.arange(7))
    found, expected = (find_exciting_images(one, split, "block", k=2) for one in (model, twin))
    assert torch.equal(found.positions, expected.positions)
    assert torch.equal(found.values, expected.values)


class Twofold(nn.Module):
    """The logits depend on the first tensor by way of the second, which is made within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block(lambda y: (y, y.square().mean((2, 3))))
        self.linear = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        features, squares = self.block(inputs)
        logits: Tensor = self.linear(squares + features.relu().mean((2, 3)))
        return logits


def test_a_gradient_by_way_of_another_part_of_the_output_counts() -> None:
    model = Twofold()
    found = make_map_maker("hirescam", model, (3, 16, 16), layers=["block"])(model, INPUTS, CLASSES)
    features = model.block.conv(INPUTS).detach()
    slopes = model.linear.weight.detach()[CLASSES][:, :, None, None] / features[0, 0].numel()
    gradients = slopes * (2 * features + (features > 0))
    torch.testing.assert_close(found, (gradients * features).sum(1).relu(), rtol=1e-4, atol=1e-6)


class Repeating(nn.Module):
    """A block that runs three times; its last output is explained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.block = Block(lambda y: [None, y])
        self.block.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        for _ in range(3):
            inputs = self.block(inputs)[1].relu()
        return inputs.mean((2, 3))


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "layercam-fused"])
def test_of_a_block_that_runs_three_times_the_last_output_counts(method: str) -> None:
    model = Repeating()
    (layer,) = (layer for layer in list_map_layers(model, (3, 8, 8)) if layer.name == "block")
    assert layer.calls == 3
    inputs = torch.randn(4, 3, 8, 8)
    found = make_map_maker(method, model, (3, 8, 8), layers=["block"])(model, inputs, CLASSES[:4])
    with torch.no_grad():
        before = model.block(model.block(inputs)[1].relu())[1].relu()
    head = nn.Sequential(
        OrderedDict(conv=model.block.conv, relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), f=nn.Flatten())
    )
    if method != "score-cam":  # which masks the network's own inputs
        expected = make_map_maker(method, head, (3, 8, 8), layers=["conv"])(head, before, CLASSES[:4])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert bool(found.any())


def test_an_output_without_a_map_is_told_in_one_line() -> None:
    model = Packing(lambda y: (y.mean((2, 3)), y), lambda r: r[1])
    with pytest.raises(ModelError, match="layer 'block': outputs no map of positions; layers that do: stem, relu"):
        explain(model, torch.zeros(2, 3, 16, 16, dtype=torch.uint8), layers=["block"], mean=(0.5,) * 3, std=(1.0,) * 3)
