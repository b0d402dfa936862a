import inspect

import pytest
import torch

from visionlib.errors import ModelError
from visionlib.models import MODEL_NAMES, MODELS, build_model


def test_names_are_those_of_the_registry_and_of_the_functions() -> None:
    assert tuple(MODELS) == MODEL_NAMES
    assert [builder.__name__ for builder in MODELS.values() if inspect.isfunction(builder)] == list(MODEL_NAMES)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_takes_classes_and_channels(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, classes=7, channels=1)
        if name != "resnet1202":
            assert model(torch.empty(2, 1, 28, 28)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet20", "resnet9", "cnn8"])
def test_weights_are_a_function_of_the_seed_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first, other = build_model(name, seed=3), build_model(name, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    again = build_model(name, seed=3)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    differs = [key for key, value in first.state_dict().items() if not torch.equal(value, other.state_dict()[key])]
    assert "linear.weight" in differs
    assert vars(first).keys() == vars(MODELS[name]()).keys()


def test_an_unknown_name_is_told_the_closest() -> None:
    with pytest.raises(
        ModelError, match=r"^resnet81: there is no built-in model .* choose from .*resnet18.*module:func"
    ):
        build_model("resnet81")
    with pytest.raises(ModelError, match=", ".join(MODEL_NAMES)):
        build_model("vgg")


@pytest.mark.parametrize(("classes", "channels"), [(0, 3), (10, 0)])
def test_numbers_below_one_are_refused(classes: int, channels: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, and they are {classes} and {channels}"):
        build_model("resnet20", classes=classes, channels=channels)
