import json

import pytest
import torch

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import measure_effective_fields
from visionlib.inference.preprocessing import normalize_images
from visionlib.inference.trained_model import load_model
from visionlib.models import build_model
from visionlib.runs import Run
from visionlib.summary.effective import effective_field


def test_before_and_after_training_on_the_same_images(finished_run: Run, small_shapes: Dataset) -> None:
    fields = measure_effective_fields(finished_run, n=10, dataset=small_shapes)
    trained, record = load_model(finished_run)
    inputs = normalize_images(small_shapes.test.images[:10], record.mean, record.std)
    assert torch.equal(fields.after.strength, effective_field(trained, inputs).strength)
    seed = json.loads(finished_run.config.read_text())["config"]["seed"]
    fresh = build_model(record.model, classes=len(record.classes), channels=record.channels, seed=seed)
    assert torch.equal(fields.before.strength, effective_field(fresh, inputs).strength)
    assert not torch.equal(fields.before.strength, fields.after.strength)
    assert fields.before.layer == fields.after.layer == "layer3"
    assert fields.to_dict()["after"]["n"] == 10
    assert torch.equal(fields.image, small_shapes.test.images[0])


def test_what_cannot_be_measured_is_told(finished_run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(ConfigError, match="n: 0 is out of range"):
        measure_effective_fields(finished_run, n=0, dataset=small_shapes)
    with pytest.raises(RunError, match="was trained on other data than shapes holds now"):
        measure_effective_fields(finished_run, n=1)
