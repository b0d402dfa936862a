"""The `torch.export` archive loads and answers for pictures of any size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from visionlib.errors import ConfigError
from visionlib.export import PictureClassifier, export_program
from visionlib.inference import TrainedModel


@pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning")  # raised by torch itself when it loads a program
def test_the_archive_loads_and_answers_as_the_classifier(shrunk_model: TrainedModel, tmp_path: Path) -> None:
    out = tmp_path / "model.pt2"
    export_program(shrunk_model, out)
    loaded = torch.export.load(out).module()
    generator = np.random.default_rng(0)
    for shape in ((1, 24, 24, 3), (2, 100, 37, 3), (1, 1, 1, 3), (3, 5, 60, 3)):
        images = torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8))
        with torch.no_grad():
            found, expected = loaded(images), PictureClassifier(shrunk_model)(images)
        for own, other in zip(found, expected, strict=True):
            torch.testing.assert_close(own, other, rtol=0, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    with pytest.raises(ConfigError, match="exists"):
        export_program(shrunk_model, out)
