"""A run folder that version 0.1 made, of 2026-11-27 before the packages moved, still tests, reports and resumes.

`finished` and `interrupted` come from the same settings on `load_shapes(n_train=200, n_test=70, image_size=16)`: Muon,
SAM, an average of the weights, gradient accumulation and held-out images. `finished` also holds every part of the page.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from visionlib import TrainedModel, evaluate, resume, write_report
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.inference.predictions import load_predictions
from visionlib.runs import Run

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shapes() -> Dataset:
    return load_shapes(n_train=200, n_test=70, image_size=16)


@pytest.fixture
def previous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of both runs, and the folder of their network on the path."""
    for name in ("finished", "interrupted"):
        shutil.copytree(HERE / name, tmp_path / name)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.chdir(HERE)
    monkeypatch.setattr("visionlib.runs.trust._is_trusting", True)  # it has no signature, and its network is a user's
    return tmp_path


def numbers(value: object) -> list[float]:
    """Return every number of a record in order; its words may change."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


def without_new_fields(value: object, before: object) -> object:
    """Keep the fields that a record had before, all of which must still be there; further ones may be added."""
    if isinstance(value, dict) and isinstance(before, dict):
        return {key: without_new_fields(value[key], old) for key, old in before.items()}
    if isinstance(value, list) and isinstance(before, list):
        return [without_new_fields(item, old) for item, old in zip(value, before, strict=True)]
    return value


def test_it_is_evaluated_as_it_was(previous: Path, shapes: Dataset) -> None:
    written = json.loads((HERE / "finished" / "evaluation.json").read_text())
    evaluate(previous / "finished", dataset=shapes)
    again = json.loads((previous / "finished" / "evaluation.json").read_text())
    assert len(numbers(written)) > 100
    assert numbers(without_new_fields(again, written)) == pytest.approx(numbers(written), rel=1e-9)


def test_its_network_predicts_what_it_stored(previous: Path, shapes: Dataset) -> None:
    stored = load_predictions(previous / "finished")
    logits = TrainedModel.from_run(previous / "finished", device="cpu").predict(shapes.test.images).logits
    torch.testing.assert_close(logits, stored.predictions.logits, atol=1e-5, rtol=1e-4)


def test_its_page_lacks_nothing_that_its_version_had(previous: Path, shapes: Dataset) -> None:
    report = write_report(previous / "finished", dataset=shapes)
    assert set(report.missing) == {"groups", "stress", "shortcuts"}


def test_an_interrupted_one_comes_to_the_same_weights(previous: Path, shapes: Dataset) -> None:
    run = resume(Run(previous / "interrupted"), dataset=shapes)
    expected = load_file(HERE / "finished" / "model.safetensors")
    for name, weights in load_file(run.weights).items():
        torch.testing.assert_close(weights, expected[name], atol=1e-6, rtol=1e-5)
