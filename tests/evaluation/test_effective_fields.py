import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import measure_effective_fields
from visionlib.inference.preprocessing import normalize_images
from visionlib.inference.run_model import load_model
from visionlib.models import build_model
from visionlib.runs import Run
from visionlib.summary.effective import EffectiveField, effective_field
from visionlib.training import TrainConfig, train


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


def test_before_is_the_network_with_which_the_training_began(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a learning rate of 0 the run keeps its initial parameters, the whitened stem among them."""
    config = small_config.replace(epochs=1, peak_learning_rate=0, whiten=True)
    run = train(small_shapes, config, out=tmp_path / "run")
    trained, _ = load_model(run)
    measured: list[nn.Module] = []

    def record(network: nn.Module, inputs: Tensor, layer: str | None) -> EffectiveField:
        measured.append(network)
        return effective_field(network, inputs, layer)

    monkeypatch.setattr("visionlib.evaluation.effective_fields.effective_field", record)
    measure_effective_fields(run, n=2, dataset=small_shapes)
    assert len(measured) == 2
    for network in measured:
        for parameter, expected in zip(network.parameters(), trained.parameters(), strict=True):
            assert torch.allclose(parameter, expected, rtol=1e-5, atol=1e-7)
    drawn = build_model("resnet20", classes=len(small_shapes.classes), channels=3, seed=config.seed)
    assert not torch.allclose(next(drawn.parameters()), next(trained.parameters()), atol=1e-3)


def test_what_cannot_be_measured_is_refused(finished_run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(ConfigError, match="n: 0 is out of range"):
        measure_effective_fields(finished_run, n=0, dataset=small_shapes)
    with pytest.raises(RunError, match="was trained on other data than shapes holds now"):
        measure_effective_fields(finished_run, n=1)
