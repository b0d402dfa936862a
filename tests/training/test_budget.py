"""Epochs that fit into a time: by hand, and by training."""

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.models import build_model
from visionlib.runs import read_json
from visionlib.training import TrainConfig, train
from visionlib.training.budget import fit_epochs, fit_time_budget, measure_seconds_per_image
from visionlib.training.job import make_job

SPEEDS = {(16, False): 0.001, (24, False): 0.002, (32, False): 0.004, (32, True): 0.006}
HALVES = TrainConfig(resolutions=(0.5, 1.0))


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    # Of 100 images half of the steps at 16 px take 0.05 s and half at 32 px 0.2.
    [(0.26, 1), (0.49, 1), (0.51, 2), (0.74, 2), (0.76, 3), (1e9, 1000)],
)
def test_epochs_by_hand(seconds: float, epochs: int) -> None:
    assert fit_epochs(HALVES, 100, 32, SPEEDS, seconds) == epochs


def test_sam_steps_take_longer() -> None:
    # An epoch takes 0.05 s at 16 px, and at 32 px 0.1 s for the half without SAM and 0.15 s for that with it.
    config = HALVES.replace(sam_radius=0.02, sam_start=0.75)
    assert [fit_epochs(config, 100, 32, SPEEDS, seconds) for seconds in (0.59, 0.61)] == [1, 2]


def test_too_little_time_for_one_epoch_is_an_error() -> None:
    with pytest.raises(ConfigError, match="max_seconds: 1 are too few: one epoch takes 2 here; set it higher"):
        fit_epochs(HALVES, 1000, 32, SPEEDS, 1.0)


def test_measuring_changes_nothing(small_shapes: Dataset) -> None:
    config = TrainConfig(model="resnet20", batch_size=50, resolutions=(0.5, 1.0), device="cpu", precision="fp32")
    config = config.replace(sam_radius=0.1, sam_start=0.75)
    job, _ = make_job(small_shapes, config, choose_compute("cpu", "fp32"))
    model = build_model("resnet20")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    measured = measure_seconds_per_image(job, model)
    assert measured.keys() == {(8, False), (16, False), (16, True)}
    assert all(seconds > 0 for seconds in measured.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_time_left_after_measuring_is_used(small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(model="resnet20", batch_size=50, device="cpu", precision="fp32", resolutions=(1.0,))
    job, _ = make_job(small_shapes, config, choose_compute("cpu", "fp32"))
    monkeypatch.setattr("visionlib.training.budget.measure_seconds_per_image", lambda job, model: {(16, False): 1.0})
    # An epoch of 200 images takes 200 s; the margin is 5 % of the time.
    assert fit_time_budget(job, 10_000.0).epochs == 47


class Slow(nn.Module):
    """Takes half a millisecond for an image, and so 0.1 s for an epoch of 200."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(0.0005 * len(inputs))
        outputs: torch.Tensor = self.linear(inputs.mean((2, 3)))
        return outputs


def test_a_training_takes_no_longer_than_its_budget(
    small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visionlib.training.job.build_model", lambda *_, **__: Slow())
    config = TrainConfig(epochs=1, batch_size=50, device="cpu", precision="fp32", resolutions=(1.0,))
    messages: list[str] = []
    run = train(small_shapes, config, out=tmp_path / "run", max_seconds=2.0, log=messages.append)
    training = read_json(run.training)
    # 19 epochs take 1.9 s, which is 2 s less the margin; the measurement, or a busy machine, allows fewer.
    assert 1 <= training["epochs"] <= 19
    assert f"{training['epochs']} epochs fit into 2 s" in messages
    assert read_json(run.config)["config"]["epochs"] == training["epochs"]
