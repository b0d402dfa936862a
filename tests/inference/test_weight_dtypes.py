"""The precision of a network follows the dtype of its weights; every result comes as float32."""

import copy

import pytest
import torch
from torch import Tensor, nn

from visionlib import evaluate, explain
from visionlib.data import ImageSplit
from visionlib.errors import ModelError
from visionlib.explanation import METHODS, extract_feature_maps, find_exciting_images, make_map_maker
from visionlib.explanation.quality import measure_quality
from visionlib.inference.prediction import predict, predict_logits, run_network
from visionlib.inference.trained_model import TrainedModel

MEAN, STD = (0.5,) * 3, (0.25,) * 3
DTYPES = (torch.bfloat16, torch.float16, torch.float64)


class Net(nn.Module):
    """Two convolutions and a head, which notes the dtypes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, 2, 1)
        self.head = nn.Linear(8, 3)
        self.seen: set[torch.dtype] = set()

    def embed(self, inputs: Tensor) -> Tensor:
        self.seen.add(inputs.dtype)
        features: Tensor = self.conv2(self.norm(self.conv1(inputs)).relu()).relu()
        return features.mean((2, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class CastingHead(Net):
    """A body in bf16 with a head in float32."""

    def __init__(self) -> None:
        super().__init__()
        for part in (self.conv1, self.norm, self.conv2):
            part.to(torch.bfloat16)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(inputs).float())
        return logits


class HeadFirst(CastingHead):
    """Its first parameter is not of the dtype of its first layer."""

    def __init__(self) -> None:
        super().__init__()
        parts = dict(self._modules)
        self._modules.clear()
        self._modules["head"] = parts.pop("head")
        self._modules.update(parts)


class Uncast(CastingHead):
    """Nothing casts between body and head."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(inputs))
        return logits


class CastingStem(Net):
    """Takes float32 and casts by itself."""

    def embed(self, inputs: Tensor) -> Tensor:
        return super().embed(inputs.to(self.conv1.weight.dtype))


def split_of(n: int = 18) -> ImageSplit:
    images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8)
    return ImageSplit(images, torch.arange(n) % 3, ("a", "b", "c"), torch.arange(n))


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_maps_and_features_are_nearly_those_of_float32(dtype: torch.dtype) -> None:
    exact, split = Net(), split_of()
    model = copy.deepcopy(exact).to(dtype)
    rtol, atol = (1e-5, 1e-6) if dtype == torch.float64 else (0.05, 0.02)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected, found = (predict(one, split.images, mean=MEAN, std=STD, mirror=True) for one in (exact, model))
    torch.testing.assert_close(found.logits, expected.logits, rtol=rtol, atol=atol)
    assert found.embeddings is not None
    assert evaluate(model, split, mean=MEAN, std=STD).n == 18
    for method in METHODS:
        wanted, maps = (
            explain(one, split, method=method, target="a", mean=MEAN, std=STD).maps for one in (exact, model)
        )
        assert maps.dtype == torch.float32
        # A ReLU near 0 may switch, so that single pixels differ.
        assert float((maps - wanted).abs().mean() / wanted.max()) < (1e-5 if dtype == torch.float64 else 0.02), method
    trained, other = (TrainedModel.from_network(one, MEAN, STD, classes=split.classes) for one in (exact, model))
    wanted, maps = (extract_feature_maps(one, split.images, "conv2").maps for one in (trained, other))
    torch.testing.assert_close(maps, wanted, rtol=rtol, atol=atol)
    assert find_exciting_images(other, split, "conv2", k=2).values.dtype == torch.float32
    measured = measure_quality(other, split, {"grad-cam": make_map_maker("grad-cam", model, (3, 16, 16))}, n=8)
    assert measured.methods[0].deletion is not None
    assert model.seen == {dtype}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", [CastingHead, HeadFirst, CastingStem])
def test_networks_of_mixed_dtypes_that_cast(kind: type[Net]) -> None:
    split, model = split_of(), kind()
    if kind is CastingStem:
        model.to(torch.bfloat16)
    exact = copy.deepcopy(model).float()
    found = predict_logits(model, split.images, mean=MEAN, std=STD)
    expected = predict_logits(exact, split.images, mean=MEAN, std=STD)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02)
    assert evaluate(model, split, mean=MEAN, std=STD).n == 18
    for method in ("layercam-fused", "score-cam", "gradient", "occlusion"):
        assert bool(explain(model, split, method=method, mean=MEAN, std=STD, target="a").maps.any())
    trained = TrainedModel.from_network(model, MEAN, STD)
    assert extract_feature_maps(trained, split.images, "conv2").layer.calls == 1
    assert torch.bfloat16 in model.seen


def test_a_mixed_network_that_casts_nowhere_is_told_in_one_line() -> None:
    message = "^Uncast: does not run on inputs of bfloat16 or float32 (.*dtype.*); cast between the dtypes of its"
    for work in (evaluate, explain):
        with pytest.raises(ModelError, match=message):
            work(Uncast(), split_of(), mean=MEAN, std=STD)
    # Within autocast torch casts by itself.
    assert evaluate(Uncast(), split_of(), mean=MEAN, std=STD, precision="bf16").n == 18


@pytest.mark.parametrize("dtype", [torch.float32, *DTYPES])
def test_autocast_with_weights_of_any_dtype(dtype: torch.dtype) -> None:
    split = split_of(4)
    assert evaluate(Net().to(dtype), split, mean=MEAN, std=STD, precision="bf16").n == 4
    assert len(explain(Net().to(dtype), split, mean=MEAN, std=STD, precision="bf16")) == 4


def test_without_weights_or_with_integers_alone_inputs_are_float32() -> None:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert run_network(pool, torch.ones(2, 3, 4, 4)).dtype == torch.float32
    pool.register_buffer("steps", torch.zeros(3, dtype=torch.int64))
    assert run_network(pool, torch.ones(2, 3, 4, 4)).dtype == torch.float32
    assert predict_logits(pool, split_of(3).images, mean=MEAN, std=STD).dtype == torch.float32
