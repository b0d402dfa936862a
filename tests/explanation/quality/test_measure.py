"""All figures together, for networks of which they are known, and for a run."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from tests.explanation.networks import Blind, Corner
from tests.explanation.test_state_restored import state_of
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.intervals import wilson_interval
from visionlib.explanation import make_map_maker
from visionlib.explanation.quality import MapQuality, load_quality, measure_quality, measure_run_quality
from visionlib.explanation.quality.estimate import Estimate, average, fraction
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import Run, read_json, write_json


def corner_split(n: int = 40) -> ImageSplit:
    images = torch.randint(30, 256, (n, 1, 8, 8), dtype=torch.uint8)
    images[:, :, :4, :4] = 250  # so that class 0 wins
    masks = torch.zeros(n, 8, 8, dtype=torch.bool)
    masks[:, :4, :4] = True
    return ImageSplit(images, torch.zeros(n, dtype=torch.int64), ("upper", "lower"), torch.arange(n), masks)


def measured(model: torch.nn.Module, *methods: str) -> MapQuality:
    makers = {name: make_map_maker(name, model, (1, 8, 8)) for name in methods}
    return measure_quality(TrainedModel.from_network(model, (0.0,), (1.0,)), corner_split(), makers, n=30)


def test_a_network_that_looks_at_one_corner() -> None:
    (one,) = measured(Corner(), "gradient-x-input").methods
    (masked,) = measured(Corner(), "occlusion").methods
    assert masked.pointing_game == one.pointing_game
    assert one.pointing_game == Estimate(1.0, wilson_interval(30, 30), 30)
    assert one.energy_in_mask is not None
    assert one.energy_in_mask.value == pytest.approx(1.0)
    assert one.constant_fraction == 0
    # One weight alone cannot be shuffled: the maps stay, and the check says so.
    assert one.is_passed is False
    assert one.resolution == (8, 8)
    # The map of 16 cells out of 64 with nearly equal evidence: at most 1 - 16 / 64 of equal ones.
    assert one.sparseness is not None
    assert one.sparseness.value == pytest.approx(0.75, abs=0.03)
    assert one.complexity is not None
    assert one.complexity.value == pytest.approx(math.log(16), abs=0.05)
    assert one.sensitivity is not None
    assert 0 < one.sensitivity.value < 0.05
    assert one.sensitivity.n == 30
    assert one.completeness_gap is None


def test_completeness_is_measured_for_integrated_gradients() -> None:
    (one,) = measured(Corner(), "integrated-gradients").methods
    assert one.completeness_gap is not None
    assert one.completeness_gap.value == pytest.approx(0, abs=1e-5)
    assert one.completeness_gap.n == 30


def test_a_network_that_ignores_its_input() -> None:
    found = measured(Blind(), "layercam", "gradient")
    assert [one.constant_fraction for one in found.methods] == [1.0, 1.0]
    for one in found.methods:
        assert one.pointing_game is not None
        assert one.pointing_game.value == 0
        assert one.is_passed is None
        assert one.verdict == "could not be checked: its maps are constant."
    assert found.conclusions == ("No method passed the sanity check: believe none of these maps for this network.",)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_fraction_of_the_masks_is_reported() -> None:
    found = measured(Corner(), "gradient")
    assert found.mask_fraction is not None
    assert found.mask_fraction.value == pytest.approx(0.25)


def test_a_run_is_measured_kept_and_left_as_it_was(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    weights = run.weights.read_bytes()
    methods = ["layercam-fused", "gradient", "gradient-x-input"]
    found = measure_run_quality(run, methods=methods, n=8, dataset=small_shapes)
    assert sorted(one.method for one in found.methods) == sorted(methods)
    assert found.n == 8
    for one in found.methods:
        assert one.sanity is not None
        assert one.pointing_game is not None
        assert set(one.agreement) == set(methods) - {one.method}
        assert list(one.sanity_by_part)[-1] == "conv1"
        assert one.deletion is not None
        assert one.insertion is not None
        assert 0 <= one.deletion.value <= 1
    record = read_json(run.explanations / "quality.json")
    assert record["n"] == 8
    assert [one["rank"] for one in record["methods"]] == [1, 2, 3]
    assert record["methods"][0]["mask_share"]["n"] == 8
    assert record["split"] == "test"
    assert record["content_hash"] == small_shapes.test.content_hash
    assert load_quality(run) == found
    assert run.weights.read_bytes() == weights
    again = measure_run_quality(run, methods=methods, n=8, dataset=small_shapes)
    assert again.to_dict() == found.to_dict()
    for entry in record["methods"]:
        assert {"value", "interval", "n"} == set(entry["sensitivity"]) == set(entry["sparseness"])
        for name in ("sensitivity", "sparseness", "complexity", "completeness_gap"):
            del entry[name]
    write_json(run.explanations / "quality.json", record)  # as earlier versions wrote it
    assert load_quality(run).methods[0].sparseness is None
    assert load_quality(run).methods[0].sanity == found.methods[0].sanity
    write_json(run.explanations / "quality.json", {**record, "weights_sha256": "another"})
    with pytest.raises(RunError, match="was made with other weights; make it anew with `visionlib explain"):
        load_quality(run)


def test_the_network_is_left_as_it_was() -> None:
    model, split = Corner().train(), corner_split()
    makers = {"gradient": make_map_maker("gradient", model, (1, 8, 8))}
    before = state_of(model)
    measure_quality(TrainedModel.from_network(model, (0.0,), (1.0,)), split, makers, n=20)
    assert state_of(model) == before


def test_nothing_to_measure_is_an_error() -> None:
    model = TrainedModel.from_network(Corner(), (0.0,), (1.0,))
    with pytest.raises(ConfigError, match="n: 0 of 40 images by 0 methods is nothing; give some of each"):
        measure_quality(model, corner_split(), {}, n=0)


def test_means_and_fractions() -> None:
    assert average(torch.tensor([1.0, torch.nan])) == Estimate(1.0, None, 1)
    assert average(torch.tensor([torch.nan])) is None
    assert average(None) is None
    figure = average(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert figure is not None
    assert figure.interval is not None
    half = 1.959964 * torch.tensor([0.0, 1.0, 2.0, 3.0]).std().item() / 2
    assert figure.interval == pytest.approx((1.5 - half, 1.5 + half))
    assert fraction(torch.zeros(0, dtype=torch.bool)) is None
