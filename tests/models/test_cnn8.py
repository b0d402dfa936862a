from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from tests.models.oracles import count_parameters, normalize, randomize
from visionlib.models import build_model
from visionlib.models.cnn8 import cnn8

WIDTHS = [(24, 64), (64, 64), (64, 256), (256, 256), (256, 256), (256, 256)]


def test_parameter_count_follows_the_formula() -> None:
    formula = (12 + 1) * 24 + sum(9 * i * o + 2 * o for i, o in WIDTHS) + 256 * 10
    assert formula == 1_972_792
    assert count_parameters(cnn8()) == formula
    assert count_parameters(cnn8(classes=3, channels=1)) == formula - 7 * 256 - (13 * 24 - 5 * 8) - 9 * 16 * 64


def test_forward_is_its_formula() -> None:
    model = cnn8(classes=4)
    state = randomize(model)
    for name, value in state.items():
        value.mul_(0.05 if "conv" in name else 1)  # or the numbers grow out of all proportion
    inputs = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def gelu(x: torch.Tensor) -> torch.Tensor:
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    x = gelu(F.conv2d(inputs, state["stem.weight"], state["stem.bias"]))
    for group in ("layer1", "layer2", "layer3"):
        x = F.max_pool2d(F.conv2d(x, state[f"{group}.conv1.weight"], padding=1), 2)
        x = gelu(normalize(x, state, f"{group}.bn1"))
        x = F.conv2d(x, state[f"{group}.conv2.weight"], padding=1)
        x = gelu(normalize(x, state, f"{group}.bn2"))
    logits = F.max_pool2d(x, 3).flatten(1) @ state["linear.weight"].T / 9
    torch.testing.assert_close(model(inputs), logits)


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (8, 40), (16, 16), (28, 28), (33, 47), (224, 224)])
@pytest.mark.parametrize(("classes", "channels"), [(1, 3), (7, 1), (1000, 4)])
def test_any_image_size_works(size: tuple[int, int], classes: int, channels: int) -> None:
    with torch.device("meta"):
        model = cnn8(classes=classes, channels=channels)
        assert model(torch.empty(2, channels, *size)).shape == (2, classes)
        assert model.eval()(torch.empty(1, channels, *size)).shape == (1, classes)


def test_a_side_of_one_pixel_is_kept_and_the_other_one_halved() -> None:
    images = torch.tensor([[[[1.0, 5.0, 2.0, 3.0, 9.0]]]])
    assert torch.equal(cnn8().layer1.pool(images), torch.tensor([[[[5.0, 3.0]]]]))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_fresh_stem_loses_nothing_and_only_its_biases_learn(channels: int) -> None:
    """Its filters are orthonormal, with their negatives: the norm of every patch is that of its outputs / sqrt(2)."""
    model = cnn8(channels=channels)
    patches = torch.randn(50, channels, 2, 2)
    outputs = model.stem(patches).flatten(1)
    torch.testing.assert_close(outputs.square().sum(1), 2 * patches.flatten(1).square().sum(1))
    model(torch.randn(4, channels, 16, 16)).square().sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == ["stem.weight"]
    assert model.stem.bias is not None
    assert model.stem.bias.grad is not None
    assert bool(model.stem.bias.grad.all())


def test_fresh_convolutions_pass_their_inputs_on() -> None:
    model = cnn8()
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][1:]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == WIDTHS
    for layer in convolutions:
        inputs = torch.randn(2, layer.in_channels, 5, 4)
        outputs = layer(inputs)
        torch.testing.assert_close(outputs[:, : layer.in_channels], inputs)
        assert bool((outputs[:, layer.in_channels :] != 0).all())


def test_stored_weights_give_the_same_outputs_in_eval_mode(tmp_path: Path) -> None:
    model, inputs = build_model("cnn8", seed=1), torch.randn(4, 3, 20, 20)
    model(inputs)  # statistics that are not those of a fresh network
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    again = build_model("cnn8", seed=2)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again.eval()(inputs), model.eval()(inputs))
    # In eval mode an image's logits do not depend on the others.
    torch.testing.assert_close(model(inputs[:1]), model(inputs)[:1])
