"""A hub folder loads back, by the library and by the lines of its card; nothing in it is half-written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from visionlib import load
from visionlib.data import Dataset
from visionlib.errors import ConfigError, ModelError, RunError, VisionlibError
from visionlib.evaluation import evaluate
from visionlib.export import export_hub, hub, onnx_file, open_source
from visionlib.export.card import CardFacts, write_card
from visionlib.export.evaluation_facts import EvaluationFacts, take_evaluation
from visionlib.models import open_weights, pretrained
from visionlib.models.model_record import ModelRecord, load_record
from visionlib.runs import Run, read_json, write_json
from visionlib.runs.fields import parse_record

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def calibrated_run(finished_run: Run, small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The finished run with a temperature, a smaller input size, and its evaluation."""
    folder = tmp_path_factory.mktemp("hub") / "first"
    shutil.copytree(finished_run.path, folder)
    run = Run(folder)
    write_json(run.model, {**read_json(run.model), "temperature": 1.5, "input_size": [12, 12]})
    evaluate(run, dataset=small_shapes)
    return run


@pytest.fixture(scope="module")
def folder(calibrated_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "repository"
    export_hub(calibrated_run, out, licence="mit")
    return out


@pytest.fixture
def traced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is that of the folder, instead of being traced again, for seconds."""
    proto = folder / "onnx" / "model.onnx"
    monkeypatch.setattr(onnx_file, "trace_module", lambda module, channels, output_names: onnx.load(proto))


def test_the_folder_holds_what_a_repository_needs(folder: Path, calibrated_run: Run) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == [
        "README.md",
        "config.json",
        "evaluation.json",
        "model.json",
        "model.safetensors",
        "onnx/model.onnx",
        "preprocessor_config.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    classes = load_record(calibrated_run).classes
    assert config["id2label"] == {str(at): name for at, name in enumerate(classes)}
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["size"] == {"height": 16, "width": 16}
    assert preprocessor["image_mean"] == list(load_record(calibrated_run).mean)
    assert (folder / "model.safetensors").read_bytes() == calibrated_run.weights.read_bytes()


def test_it_loads_back_as_weights_and_as_a_source(folder: Path, calibrated_run: Run, small_shapes: Dataset) -> None:
    weights = open_weights(folder)
    assert weights.classes == load_record(calibrated_run).classes
    assert weights.model == "resnet20"
    again, own = open_source(folder), open_source(calibrated_run)
    assert again.record == own.record
    images = small_shapes.test.images
    assert torch.equal(again.model.predict(images).logits, own.model.predict(images).logits)


def test_the_lines_of_the_card_classify(folder: Path, small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (folder / "README.md").read_text()
    lines = card.partition("```python\n")[2].partition("\n```")[0]
    monkeypatch.chdir(folder)
    images = small_shapes.test.images[:9]
    kept = [line for line in lines.splitlines() if not line.startswith("images = ")]
    assert len(kept) == len(lines.splitlines()) - 1
    names: dict[str, Any] = {"images": images}
    exec("\n".join(kept), names)
    exec(lines, {})
    logits = open_source(folder).model.predict(images).logits
    torch.testing.assert_close(names["probabilities"], torch.softmax(logits / 1.5, 1), rtol=0, atol=1e-5)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    found = session.run(["probabilities"], {"images": images.permute(0, 2, 3, 1).contiguous().numpy()})[0]
    np.testing.assert_allclose(found, names["probabilities"].numpy(), rtol=0, atol=1e-5)


def test_the_card_tells_the_measured_figures(folder: Path, calibrated_run: Run) -> None:
    card = (folder / "README.md").read_text()
    header = card.split("---\n")[1].splitlines()
    evaluation = read_json(calibrated_run.evaluation)
    assert header[0] == 'license: "mit"'
    assert f"      value: {evaluation['accuracy']}" in header
    low, high = evaluation["confidence_interval"]
    assert f"{evaluation['accuracy']:.2%} ({100 * low:.2f} to {100 * high:.2f}), n = 70, Wilson interval, 95 %" in card
    for entry in evaluation["per_class"]:
        assert f"| {entry['class']} | {entry['accuracy']:.2%} (" in card
    assert f"expected calibration error {evaluation['calibration']['ece']:.4f}" in card
    assert "timm cannot load" in card
    assert read_json(calibrated_run.config)["dataset"]["content_hash"] in card


@pytest.mark.usefixtures("traced")
def test_a_hub_folder_hands_its_figures_on(folder: Path, calibrated_run: Run, tmp_path: Path) -> None:
    evaluation = take_evaluation(read_json(calibrated_run.evaluation))
    assert evaluation is not None
    assert open_source(folder).read_evaluation() == evaluation
    assert parse_record(EvaluationFacts, evaluation.to_dict()) == evaluation
    export_hub(folder, tmp_path / "again")
    assert f"{evaluation.accuracy:.2%}" in (tmp_path / "again" / "README.md").read_text()


@pytest.mark.usefixtures("traced")
def test_without_figures_none_are_told_and_those_of_other_weights_go(folder: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    (bare / "evaluation.json").unlink()
    place = Path(shutil.copytree(folder, tmp_path / "again"))
    export_hub(bare, place, force=True)
    card = (place / "README.md").read_text()
    assert "**Test accuracy**: not measured." in card
    assert "model-index" not in card
    assert open_source(place).read_evaluation() is None


def test_the_figures_of_pretrained_weights_come_along() -> None:
    facts = open_source("cifar10").read_evaluation()
    assert facts is not None
    assert facts.n == 10_000
    assert facts.accuracy is not None
    assert facts.confidence_interval is not None
    assert facts.confidence_interval[0] < facts.accuracy < facts.confidence_interval[1]
    card = (open_source("cifar10").run.path / "README.md").read_text()
    assert f"**Test accuracy**: {facts.accuracy:.2%}" in card


HOSTILE = "<script>alert(1)</script>|`rm`\n---\n# *x* ![a](http://b)"


def test_hostile_names_are_text() -> None:
    record = ModelRecord("resnet20", (HOSTILE, "b"), 3, (8, 8), (0.5,) * 3, (0.2,) * 3, "0" * 64)
    entry = {"class": HOSTILE, "accuracy": 0.5, "confidence_interval": [0.4, 0.6], "n": 10}
    evaluation = {"accuracy": 0.5, "confidence_interval": [0.4, 0.6], "n": 10, "per_class": [entry]}
    evaluation["calibration"] = {"ece": 0.1}
    card = write_card(record, CardFacts(HOSTILE, evaluation=evaluation, licence=HOSTILE))
    _, header, body = card.split("\n---\n", 1)[0], *card.removeprefix("---\n").split("\n---\n", 1)
    assert f"license: {json.dumps(HOSTILE)}" in header.splitlines()
    assert "<script" not in body
    assert "](http" not in body
    rows = [line for line in body.splitlines() if line.startswith("| ") and "50.00%" in line]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 4


@pytest.mark.parametrize("model", ["in-memory:X; import os", "a.py:f", "pkg.mod:Net", "../x y.py:__import__('os')"])
def test_lines_for_other_networks_hold_nothing_but_names(model: str) -> None:
    record = ModelRecord(model, ("a", "b"), 3, (8, 8), (0.5,) * 3, (0.2,) * 3)
    lines = write_card(record, CardFacts("n")).partition("```python\n")[2].partition("\n```")[0]
    compile(lines, "card", "exec")
    source = lines.splitlines()[2]
    known = {"a.py:f": "from a import f", "pkg.mod:Net": "from pkg.mod import Net"}
    assert source == known.get(model, "from your_module import YourNetwork")


@pytest.mark.usefixtures("traced")
def test_a_folder_that_holds_something_is_kept_unless_forced(calibrated_run: Run, tmp_path: Path) -> None:
    place = tmp_path / "repository"
    place.mkdir()
    (place / "README.md").write_text("mine")
    (place / ".gitattributes").write_text("theirs")
    with pytest.raises(ConfigError, match="repository: exists and is not empty; choose another folder"):
        export_hub(calibrated_run, place)
    with patch.object(hub, "export_onnx", side_effect=ModelError("net", "cannot", "do")), pytest.raises(ModelError):
        export_hub(calibrated_run, place, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]
    assert (place / "README.md").read_text() == "mine"
    export_hub(calibrated_run, place, force=True)
    assert (place / "README.md").read_text() != "mine"
    assert (place / ".gitattributes").read_text() == "theirs"


@pytest.mark.usefixtures("traced")
def test_a_folder_of_files_of_two_exports_cannot_be_loaded(
    calibrated_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "repository"
    export_hub(calibrated_run, place)
    moved: list[Path] = []
    replace_file = Path.replace

    def fail_late(self: Path, target: Path) -> Path:
        if target.is_relative_to(place):  # other moves finish a file in its own folder
            if len(moved) == 2:
                raise OSError(28, "No space left on device")
            moved.append(target)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", fail_late)
    with pytest.raises(RunError, match=r"repository: cannot be written \(No space left on device\)"):
        export_hub(calibrated_run, place, force=True)
    monkeypatch.undo()
    with pytest.raises(VisionlibError):
        load(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]


@pytest.mark.usefixtures("traced")
def test_an_evaluation_that_is_absent_is_made(calibrated_run: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(calibrated_run.path, tmp_path / "run"))
    run.evaluation.unlink()
    export_hub(run, tmp_path / "repository")
    assert "n = 70" in (tmp_path / "repository" / "README.md").read_text()
    assert run.evaluation.is_file()


def test_a_run_is_never_the_target(calibrated_run: Run) -> None:
    before = calibrated_run.config.read_bytes()
    with pytest.raises(ConfigError, match="is a run, whose files would be replaced"):
        export_hub(calibrated_run, calibrated_run.path, force=True)
    assert calibrated_run.config.read_bytes() == before


@pytest.mark.parametrize("place", ["file", "absent/repository"])
def test_places_for_no_folder_are_refused(place: str, calibrated_run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"is a file; name a folder|there is no folder"):
        export_hub(calibrated_run, tmp_path / place, force=True)


def test_sources_that_are_none_are_named(finished_run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    cases: dict[str, type[VisionlibError]] = {"file": RunError, "empty": RunError, "absent": RunError}
    for name, error in cases.items():
        with pytest.raises(error, match=name):
            open_source(tmp_path / name)
    shutil.copytree(finished_run.path, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match=r"does not have the SHA-256 of model\.json"):
        open_source(tmp_path / "run")


def test_pretrained_weights_are_found_by_name(
    finished_run: Run, small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "pretrained" / "resnet20-shapes"
    place.mkdir(parents=True)
    for file in (finished_run.model, finished_run.weights):
        shutil.copyfile(file, place / file.name)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    found, own = open_source("resnet20-shapes"), open_source(finished_run)
    images = small_shapes.test.images[:5]
    assert torch.equal(found.model.predict(images).logits, own.model.predict(images).logits)
    with pytest.raises(ModelError, match="does not say where its training data is"):
        found.load_data()


def test_the_picture_size_of_an_older_run_is_that_of_its_data(finished_run: Run, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    fields = read_json(run.model)
    for name in ("image_size", "resize", "temperature"):
        fields.pop(name, None)
    write_json(run.model, {**fields, "input_size": [12, 12]})
    config = read_json(run.config)
    write_json(run.config, {**config, "config": {**config["config"], "resolutions": [0.5, 0.75]}})
    source = open_source(run)
    assert source.model.image_size == (16, 16)
    assert source.model.side_px == 12
    assert source.record == replace(load_record(run), image_size=(16, 16))
