"""The classifier answers as the trained network does, from raw pixels."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.export.conftest import make_model
from tests.export.test_resampling import draw, resize_by_pillow
from visionlib.errors import ModelError
from visionlib.export import PictureClassifier
from visionlib.inference import TrainedModel


class Wide(nn.Module):
    """A network without a linear layer, in half precision or double."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, inputs: Any) -> Any:
        return self.conv(inputs).mean((2, 3))


@pytest.mark.parametrize("resize", ["crop", "whole"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"side_px": 16},
        {"temperature": 0.5},
        {"image_size": (24, 40), "side_px": 16, "temperature": 2.5},
        {"name": "cnn8", "side_px": 17},
        {"channels": 1, "side_px": 23},
    ],
)
def test_probabilities_and_embeddings_are_the_networks(resize: Any, fields: dict[str, Any]) -> None:
    model = make_model(resize=resize, **fields)
    generator = np.random.default_rng(0)
    size = model.image_size
    assert size is not None
    for height, width in ((24, 24), (100, 37), (5, 60)):
        pixels = draw(generator, height, width, model.channels)
        resized = torch.from_numpy(resize_by_pillow(pixels, size, resize).copy())
        own = model.predict(resized.permute(2, 0, 1)[None])
        with torch.no_grad():
            probabilities, embedding = PictureClassifier(model)(torch.from_numpy(pixels)[None])
        expected = torch.softmax(own.logits / (model.temperature or 1), 1)
        torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-5)
        assert own.embeddings is not None
        torch.testing.assert_close(embedding, own.embeddings.float(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_dtypes_are_computed_in_float32_and_left_as_they_were(dtype: torch.dtype) -> None:
    network = Wide().to(dtype)
    model = TrainedModel(network, (0.5,) * 3, (0.2,) * 3, image_size=(8, 8))
    classifier = PictureClassifier(model)
    (probabilities,) = classifier(torch.zeros(2, 9, 5, 3, dtype=torch.uint8))
    assert probabilities.dtype == torch.float32
    assert classifier.output_names == ["probabilities"]
    assert network.conv.weight.dtype == dtype
    assert network.training


def test_a_model_of_unknown_picture_size_is_refused() -> None:
    with pytest.raises(ModelError, match="a network in memory: does not say to which size pictures are decoded; train"):
        PictureClassifier(make_model(image_size=None))
