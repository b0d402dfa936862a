"""Small networks with a preprocessing of their own, and one exported file."""

from pathlib import Path

import pytest
import torch

from visionlib.export import export_onnx
from visionlib.inference import TrainedModel
from visionlib.models import build_model


def make_model(name: str = "resnet20", channels: int = 3, **fields: object) -> TrainedModel:
    """A network whose logits are far apart, so that a wrong pixel shows in the probabilities."""
    network = build_model(name, classes=4, channels=channels).eval()
    with torch.no_grad():
        for parameter in list(network.parameters())[-1:]:
            parameter.add_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
    settings: dict[str, object] = {"image_size": (24, 24), "classes": ("ant", "bee", "cat", "dog"), **fields}
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    return TrainedModel(network, mean, std, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shrunk_model() -> TrainedModel:
    """Decodes to 24 px, sees 16 px, and divides its logits."""
    return make_model(side_px=16, temperature=0.7)


@pytest.fixture(scope="session")
def exported(shrunk_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(shrunk_model, out)
    return out
