"""Small networks with a preprocessing of their own, one exported file, and pictures."""

from pathlib import Path

import pytest
import torch

from tests.export.pages import draw_picture
from visionlib.export import export_onnx
from visionlib.inference import TrainedModel
from visionlib.models import build_model


def make_model(name: str = "resnet20", channels: int = 3, **fields: object) -> TrainedModel:
    """Build a network whose probabilities depend on the picture, so that wrong pixels show in them.

    The logits of an untrained network hardly do; here they are those of noise, centered and stretched.
    """
    network = build_model(name, classes=4, channels=channels).eval()
    settings: dict[str, object] = {"image_size": (24, 24), "classes": ("ant", "bee", "cat", "dog"), **fields}
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    noise = torch.randint(0, 256, (32, channels, 24, 24), dtype=torch.uint8)
    model = TrainedModel(network, mean, std, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        logits = model.predict(noise).logits
        network.get_parameter("linear.weight").mul_(1 / logits.std(0).mean())
        for bias in (value for key, value in network.named_parameters() if key == "linear.bias"):
            bias.sub_(model.predict(noise).logits.mean(0))
    return model


@pytest.fixture(scope="session")
def shrunk_model() -> TrainedModel:
    """Decodes to 24 px, sees 16 px, and divides its logits."""
    torch.manual_seed(0)
    return make_model(side_px=16, temperature=0.7)


@pytest.fixture(scope="session")
def exported(shrunk_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(shrunk_model, out)
    return out


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A dozen pictures of mixed sizes and shapes, one of them grayscale."""
    folder = tmp_path_factory.mktemp("pictures")
    sizes = [(32, 32), (33, 32), (1, 1), (7, 90), (200, 50), (64, 64), (640, 480), (481, 640), (31, 31), (500, 37)]
    paths = []
    for at, size in enumerate([*sizes, (300, 301), (1200, 900)]):
        paths.append(folder / f"{at}.png")
        draw_picture(*size, seed=at, mode="L" if at == 5 else "RGB").save(paths[-1])
    return paths
