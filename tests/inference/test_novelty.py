"""What is unusual: a distance with a hand-checked value, and a threshold from held-out images."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from visionlib import load
from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inference.novelty import FALSE_ALARMS, SAMPLE, Novelty, draw_sample, fit_novelty, load_novelty
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig, train


def test_the_distance_is_one_minus_the_mean_cosine_to_the_nearest() -> None:
    angles = torch.tensor([0.0, 30.0, 60.0, 90.0, 120.0, 180.0, 270.0]).deg2rad()
    reference = torch.stack([angles.cos(), angles.sin()], 1)
    novelty = Novelty(reference.half(), 0.5, 7, is_held_out=True)
    # From 0 degrees, the five nearest lie at 0, 30, 60, 90 and 270.
    expected = 1 - (1 + math.cos(math.radians(30)) + 0.5 + 0 + 0) / 5
    for length in (1.0, 7.0):
        assert novelty.distances(torch.tensor([[length, 0.0]])).item() == pytest.approx(expected, abs=2e-4)


def test_the_threshold_leaves_the_stated_part_of_held_out_images_beyond() -> None:
    draw = torch.Generator().manual_seed(0)
    trained, held_out, others = (torch.randn(n, 16, generator=draw) for n in (500, 2000, 2000))
    novelty = fit_novelty(trained, held_out)
    assert novelty is not None
    assert (novelty.n, novelty.is_held_out) == (2000, True)
    beyond = (novelty.distances(held_out) > novelty.threshold).double().mean().item()
    assert beyond == pytest.approx(FALSE_ALARMS, abs=1 / 2000)
    fresh = (novelty.distances(others) > novelty.threshold).double().mean().item()
    assert fresh == pytest.approx(FALSE_ALARMS, abs=0.007)


def test_without_held_out_images_no_training_image_is_its_own_neighbour() -> None:
    trained = torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
    novelty = fit_novelty(trained, None)
    assert novelty is not None
    assert (novelty.n, novelty.is_held_out) == (200, False)
    unit = torch.nn.functional.normalize(trained, dim=1).half().float().numpy()
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    distances = 1 - np.sort(cosines, axis=1)[:, -5:].mean(1)
    assert novelty.threshold == pytest.approx(np.quantile(distances, 1 - FALSE_ALARMS), abs=1e-3)


def test_what_cannot_be_fitted_is_none_and_what_is_not_finite_is_far() -> None:
    assert fit_novelty(torch.randn(5, 4), None) is None
    assert fit_novelty(torch.full((50, 4), math.nan), None) is None
    novelty = fit_novelty(torch.rand(50, 4), None)
    assert novelty is not None
    far = novelty.distances(torch.tensor([[math.inf, 0, 0, 0], [math.nan] * 4, [-1.0] * 4]))
    assert bool((far > novelty.threshold).all())


def test_the_sample_depends_on_the_seed_alone() -> None:
    assert draw_sample(10, 3).tolist() == list(range(10))
    many = draw_sample(50_000, 3)
    assert len(set(many.tolist())) == SAMPLE
    assert torch.equal(many, draw_sample(50_000, 3))
    assert not torch.equal(many, draw_sample(50_000, 4))


def test_a_training_keeps_temperature_and_novelty_and_prediction_uses_them(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(epochs=1, validation_fraction=0.5), out=tmp_path / "run")
    model = load(run, device="cpu")
    assert model.temperature == read_json(run.model)["temperature"]
    assert model.novelty is not None
    assert (model.novelty.n, model.novelty.is_held_out, len(model.novelty.embeddings)) == (100, True, 100)
    predictions = model.predict(small_shapes.test.images)
    assert predictions.temperature == model.temperature
    assert predictions.embeddings is not None
    distances = model.novelty.distances(predictions.embeddings)
    assert predictions.is_unusual == tuple((distances > model.novelty.threshold).tolist())
    record = read_json(run.novelty)
    assert load_novelty(run, "0" * 64) is None
    content = bytearray(run.novelty.with_suffix(".npz").read_bytes())
    content[-40] ^= 1
    run.novelty.with_suffix(".npz").write_bytes(content)
    with pytest.raises(RunError, match="does not have the SHA-256 of its record"):
        load_novelty(run, record["weights_sha256"])


def test_a_run_without_a_reference_tells_nothing(copied_run: Run, small_shapes: Dataset) -> None:
    copied_run.novelty.unlink()
    assert load(copied_run).predict(small_shapes.test.images[:3]).is_unusual is None
