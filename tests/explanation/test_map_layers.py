import copy
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from tests.explanation.detectors import SpotDetector, on_pixels, spotted_split
from visionlib.errors import ConfigError, ModelError
from visionlib.explanation import MapLayer, extract_feature_maps, find_exciting_images, list_map_layers
from visionlib.inference.trained_model import TrainedModel
from visionlib.models import build_model


def test_the_layers_of_a_resnet_are_listed_with_their_own_resolution() -> None:
    layers = {
        layer.name: layer for layer in list_map_layers(build_model("resnet20", classes=10, channels=3), (3, 24, 16))
    }
    assert next(iter(layers)) == "conv1"
    assert layers["conv1"] == MapLayer("conv1", "Conv2d", 16, (24, 16))
    assert layers["layer3"] == MapLayer("layer3", "Sequential", 64, (6, 4))
    assert "pool" not in layers
    assert "linear" not in layers


def test_of_a_module_that_runs_twice_the_last_output_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.relu, self.second = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 5, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            features: Tensor = self.relu(self.second(self.relu(self.first(inputs))))
            return features.mean((2, 3))

    model = Twice()
    found = {layer.name: layer for layer in list_map_layers(model, (1, 9, 9))}
    assert found["relu"] == MapLayer("relu", "ReLU", 5, (5, 5), calls=2)
    images = torch.randint(0, 256, (3, 1, 9, 9), dtype=torch.uint8)
    maps = extract_feature_maps(on_pixels(model), images, "relu").maps
    with torch.no_grad():
        expected = model.second(model.first(images.float()).relu()).relu()
    assert torch.allclose(maps, expected, rtol=1e-4, atol=1e-3)


def test_an_unknown_name_gives_the_names_close_to_it() -> None:
    split, _ = spotted_split()
    with pytest.raises(ModelError, match=r"layer 'cnov': is not in the network; close to it: conv"):
        extract_feature_maps(on_pixels(SpotDetector()), split.images, "cnov")
    with pytest.raises(
        ModelError, match=r"layer 'pool': outputs no map of positions; layers that do: conv, norm, relu"
    ):
        extract_feature_maps(on_pixels(SpotDetector()), split.images, "pool")
    with pytest.raises(ModelError, match=r"layer 'zzzzzz': is not in the network; there are: conv, norm, relu, drop"):
        find_exciting_images(on_pixels(SpotDetector()), split, "zzzzzz")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(81, 2))
    with pytest.raises(ModelError, match="Sequential: has no layer with a map of positions"):
        extract_feature_maps(on_pixels(flat), split.images, "0")


def test_images_that_do_not_fit_are_refused_in_one_line() -> None:
    images = torch.zeros(2, 3, 9, 9, dtype=torch.uint8)
    model = TrainedModel.from_network(SpotDetector(), (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(ModelError, match=r"SpotDetector: does not run on inputs of 3 x 9 x 9 \("):
        extract_feature_maps(model, images, "conv")
    with pytest.raises(ConfigError, match="batch_size: 0 is out of range"):
        extract_feature_maps(on_pixels(SpotDetector()), images[:, :1], "conv", batch_size=0)


def test_normalized_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a user meets it, without the shape checks of the tests.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    images = torch.zeros(2, 1, 9, 9)
    with pytest.raises(ConfigError, match="images: are float32 of 4 dimensions; give uint8 pixels as stored"):
        extract_feature_maps(on_pixels(SpotDetector()), images, "conv")


@pytest.mark.parametrize("is_failing", [False, True])
def test_the_network_is_as_it_was(is_failing: bool) -> None:
    model = SpotDetector(is_in_place=True)
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    model.linear.weight.grad = torch.ones_like(model.linear.weight)
    if is_failing:
        model.linear.weight.data = torch.zeros(7, 7)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    split, _ = spotted_split()
    if is_failing:
        with pytest.raises(ModelError, match="does not run on inputs of 1 x 9 x 9"):
            find_exciting_images(on_pixels(model), split, "conv")
    else:
        extract_feature_maps(on_pixels(model), split.images, "conv")
        find_exciting_images(on_pixels(model), split, "conv")
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert not model.conv.weight.requires_grad
    assert model.linear.weight.grad is not None
    assert torch.is_grad_enabled()


def test_a_caller_who_fails_leaves_nothing_behind() -> None:
    split, _ = spotted_split()
    model = SpotDetector()
    model.conv.weight.data[1, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match="layer 'conv': outputs values that are not finite"):
        find_exciting_images(on_pixels(model), split, "conv")
    with pytest.raises(ModelError, match="layer 'conv': outputs values that are not finite"):
        extract_feature_maps(on_pixels(model), split.images, "conv")
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


def test_a_network_is_unwrapped() -> None:
    split, _ = spotted_split()
    model = SpotDetector()
    plain = extract_feature_maps(on_pixels(model), split.images, "norm")
    compiled: Any = torch.compile(model, backend="eager")
    for wrapped in (nn.DataParallel(model), compiled):
        assert torch.equal(extract_feature_maps(on_pixels(wrapped), split.images, "norm").maps, plain.maps)
        assert [layer.name for layer in list_map_layers(wrapped, (1, 9, 9))] == ["conv", "norm", "relu", "drop"]
