"""What is unusual: an energy solved by hand, and a threshold from held-out images."""

import math
from pathlib import Path

import pytest
import torch

from visionlib import load
from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inference.novelty import FALSE_ALARMS, energy, fit_novelty, mark_unusual
from visionlib.inference.predictions import load_predictions
from visionlib.models.model_record import Novelty
from visionlib.runs import Run, read_json, write_json
from visionlib.training import TrainConfig, train


def test_the_energy_is_the_negative_logarithm_of_the_sum_of_exponentials() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), math.log(3), math.log(5)], [1000.0, 0.0, 0.0]])
    assert energy(logits).tolist() == pytest.approx([-math.log(3), -math.log(10), -1000.0], rel=1e-6)


def test_the_threshold_leaves_the_stated_part_of_ordinary_images_above() -> None:
    draw = torch.Generator().manual_seed(0)
    held_out, others = (3 * torch.randn(n, 10, generator=draw) for n in (2000, 20_000))
    novelty = fit_novelty(held_out, is_held_out=True)
    assert novelty is not None
    assert (novelty.n, novelty.is_held_out) == (2000, True)
    assert mark_unusual(held_out, novelty).double().mean().item() == pytest.approx(FALSE_ALARMS, abs=1 / 2000)
    assert mark_unusual(others, novelty).double().mean().item() == pytest.approx(FALSE_ALARMS, abs=0.015)
    assert mark_unusual(torch.zeros(1, 10), novelty).item()  # no class fits
    assert not mark_unusual(50 * torch.eye(10), novelty).any()


def test_what_cannot_be_fitted_is_none_and_what_is_not_finite_is_unusual() -> None:
    assert fit_novelty(torch.zeros(0, 4), is_held_out=False) is None
    assert fit_novelty(torch.full((50, 4), math.nan), is_held_out=True) is None
    assert mark_unusual(torch.tensor([[math.nan] * 4, [-math.inf] * 4]), Novelty(0.0, 50, is_held_out=True)).all()


def test_a_training_keeps_temperature_and_threshold_and_prediction_uses_them(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(epochs=1, validation_fraction=0.5), out=tmp_path / "run")
    model = load(run, device="cpu")
    record = read_json(run.model)
    assert model.temperature == record["temperature"]
    assert model.novelty is not None
    assert (model.novelty.n, model.novelty.is_held_out) == (100, True)
    kept = load_predictions(run, file=run.validation).predictions
    expected = torch.quantile(-kept.logits.logsumexp(1).double(), 1 - FALSE_ALARMS).item()
    assert model.novelty.threshold == pytest.approx(expected, rel=1e-6)
    predictions = model.predict(small_shapes.test.images)
    assert predictions.temperature == model.temperature
    assert predictions.is_unusual == tuple((energy(predictions.logits) > model.novelty.threshold).tolist())


def test_without_held_out_images_the_threshold_comes_from_training_images(copied_run: Run) -> None:
    novelty = load(copied_run).novelty
    assert novelty is not None
    assert not novelty.is_held_out


def test_a_run_without_a_threshold_tells_nothing(copied_run: Run, small_shapes: Dataset) -> None:
    record = read_json(copied_run.model)
    del record["novelty"]
    write_json(copied_run.model, record)
    assert load(copied_run).predict(small_shapes.test.images[:3]).is_unusual is None


@pytest.mark.parametrize("damage", [[], {"threshold": 1.0}, {"threshold": "x", "n": 1, "is_held_out": True}])
def test_a_damaged_threshold_is_refused(copied_run: Run, damage: object) -> None:
    write_json(copied_run.model, {**read_json(copied_run.model), "novelty": damage})
    with pytest.raises(RunError, match=r"model\.json"):
        load(copied_run)
