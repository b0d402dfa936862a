"""`export_page` without a browser: what is refused, what is written, and that the model stays as it was."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.export.pages import CLASSES, make_model
from visionlib.errors import ConfigError, ModelError
from visionlib.export import export_page
from visionlib.export.operations import list_operations
from visionlib.inference.trained_model import TrainedModel
from visionlib.models import MODELS, build_model


class Sorting(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1).sort(1).values[:, :10]


class Branching(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean((2, 3)) if inputs.sum() > 0 else inputs.amax((2, 3))


class Upscaling(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return F.conv_transpose2d(inputs, torch.ones(3, 10, 2, 2)).mean((2, 3))


class Two(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.mean((2, 3)), inputs.amax((2, 3))


class Maps(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.relu()


def model_of(network: nn.Module) -> TrainedModel:
    return TrainedModel(network.eval(), (0.5,) * 3, (0.2,) * 3, classes=CLASSES, image_size=(32, 32))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Sorting(), "Sorting: has an operation that a page cannot compute: sort"),
        (Branching(), "Branching: cannot be traced: "),
        (Upscaling(), "a convolution other than in two dimensions with fixed weights"),
        (Two(), "Two: does not return one row of logits per image"),
        (Maps(), "Maps: does not return one row of logits per image"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3072, 7)), "gives 7 logits for 10 classes"),
        (nn.Sequential(nn.Conv2d(3, 10, 3), nn.InstanceNorm2d(10), nn.Flatten(), nn.LazyLinear(10)), "Sequential: "),
    ],
)
def test_a_network_that_a_page_cannot_compute_is_refused_in_a_line(
    network: nn.Module, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        export_page(model_of(network), tmp_path / "page.html")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Means(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean((2, 3))


def test_a_network_without_weights_has_a_page(tmp_path: Path) -> None:
    model = replace(model_of(Means()), classes=CLASSES[:3])
    assert "this network's structure has none" in export_page(model, tmp_path / "page.html").read_text()


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"page\.html: exists; choose another name, or replace it with --force"):
        export_page(make_model(), path)
    assert path.read_text() == "mine"
    assert export_page(make_model(), path, force=True) == path
    assert path.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(ModelError):
        export_page(model_of(Sorting()), path, force=True)
    assert path.read_text() == "mine"


def test_a_place_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        export_page(make_model(), tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        export_page(make_model(), tmp_path / "absent" / "page.html")


def test_settings_that_a_page_needs(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(ConfigError, match="image_size: is not known of this model"):
        export_page(replace(make_model(), image_size=None), path)
    with pytest.raises(ConfigError, match="has 4 channels, and pictures have 1 or 3"):
        export_page(_four_channels(), path)
    with pytest.raises(ModelError, match="has weights beyond fp16"):
        export_page(_with_large_weight(), path, precision="fp16")
    assert not path.exists()


def _four_channels() -> TrainedModel:
    network = build_model("resnet20", channels=4).eval()
    return TrainedModel(network, (0.5,) * 4, (0.2,) * 4, classes=CLASSES, image_size=(32, 32))


def _with_large_weight() -> TrainedModel:
    model = make_model()
    with torch.no_grad():
        model.network.get_parameter("linear.weight")[0, 0] = 1e6
    return model


def test_the_page_of_a_resnet20_weighs_at_most_2_mb_and_is_the_same_each_time(tmp_path: Path) -> None:
    first = export_page(make_model(), tmp_path / "a.html").read_bytes()
    assert len(first) <= 2_000_000
    assert export_page(make_model(), tmp_path / "b.html").read_bytes() == first


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = make_model()
    model.network.train()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    strides = [tensor.stride() for tensor in model.network.state_dict().values()]
    export_page(model, tmp_path / "page.html")
    assert model.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert [tensor.stride() for tensor in model.network.state_dict().values()] == strides


def test_the_page_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    model = make_model(provenance="run /home/someone/secret/cats")
    page = export_page(model, tmp_path / "page.html", evaluation={"accuracy": 0.9123, "n": 10000}).read_text()
    assert "secret" not in page
    assert "run cats" in page
    assert "91.2 % of 10,000 test pictures" in page


def test_only_the_page_itself_is_named(tmp_path: Path) -> None:
    page = export_page(make_model(), tmp_path / "page.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=|https?:|url\(|import\s*\(""", page)


DEEPER = {"resnet32", "resnet34", "resnet44", "resnet56", "resnet101", "resnet110"}
"""More of the blocks of their shallower relatives."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in DEEPER else [])
        for name in MODELS
        if name not in ("resnet1202", "resnet152")
    ],
)
def test_every_network_of_the_registry_is_known(name: str) -> None:
    """Normalizations are folded wherever a convolution comes right before, and each network has its map."""
    listed = list_operations(build_model(name, classes=7).eval(), (3, 32, 32))
    assert listed.classes == 7
    assert listed.class_map is not None
    assert min(listed.class_map.size) > 1
    names = [operation.name for operation in listed.operations]
    assert names.count("affine") == (3 if name == "cnn8" else 0)
