"""The layers that maps are taken from are the stages of the network, or those that the user names."""

import pytest
from torch import Tensor, nn

from tests.explanation.networks import Linear
from visionlib.errors import ConfigError, ModelError
from visionlib.explanation import METHODS, make_map_maker
from visionlib.models import build_model


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("resnet18", 32, [("layer2", (16, 16)), ("layer3", (8, 8)), ("layer4", (4, 4))]),
        ("resnet18", 24, [("layer2", (12, 12)), ("layer3", (6, 6)), ("layer4", (3, 3))]),
        ("resnet20", 32, [("layer2", (16, 16)), ("layer3", (8, 8))]),
        ("cnn8", 32, [("layer2.conv1", (15, 15)), ("layer3.conv1", (7, 7)), ("layer3", (3, 3))]),
        ("resnet18", 96, [("layer2", (48, 48)), ("layer3", (24, 24)), ("layer4", (12, 12))]),
    ],
)
def test_the_stages_of_a_built_in_network_are_the_default(
    name: str, side: int, expected: list[tuple[str, tuple[int, int]]]
) -> None:
    maker = make_map_maker("layercam-fused", build_model(name), (3, side, side))
    assert [(layer.name, layer.resolution) for layer in maker.layers] == expected


def test_every_method_has_layers_of_a_network_of_another_family() -> None:
    model = build_model("resnet9")
    for name, method in METHODS.items():
        maker = make_map_maker(name, model, (3, 32, 32))
        assert bool(maker.layers) != method.is_of_input


def test_a_network_of_one_size_gives_its_last_layer_with_places() -> None:
    model = Linear((1, 8, 8))
    assert [layer.name for layer in make_map_maker("layercam-fused", model, (1, 8, 8)).layers] == ["same"]


def test_what_is_wrong_with_a_layer_is_told_in_one_line() -> None:
    model = build_model("resnet20")
    for names, message in (
        (["layer4"], "layer 'layer4': is not in the network; close to it: layer"),
        (["linear"], "layer 'linear': outputs no map of positions; layers that do: "),
        (["pool"], "layer 'pool': outputs no map of positions"),
    ):
        with pytest.raises(ModelError, match=message):
            make_map_maker("layercam", model, (3, 32, 32), layers=names)
    with pytest.raises(ConfigError, match="gradient: its maps are of the input, and of no layer; leave the layers out"):
        make_map_maker("gradient", model, (3, 32, 32), layers=["layer1"])
    with pytest.raises(ConfigError, match="grad: there is no such method; known are: layercam-fused, "):
        make_map_maker("grad", model, (3, 32, 32))


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.linear(inputs.flatten(1))
        return logits


def test_a_network_without_places_is_told_what_to_use() -> None:
    with pytest.raises(
        ModelError, match="has no layer with height and width; use an input-level map, such as gradient"
    ):
        make_map_maker("layercam", Flat(), (3, 4, 4))
    assert make_map_maker("gradient", Flat(), (3, 4, 4)).layers == ()
