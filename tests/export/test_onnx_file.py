"""One ONNX file: what it takes and says, and what is refused; nothing is half-written."""

import importlib.util
import io
import json
import re
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.export.conftest import make_model
from visionlib.data.shapes import load_shapes
from visionlib.errors import ConfigError, ModelError
from visionlib.export import PictureClassifier, export_onnx, onnx_file, onnx_graph
from visionlib.export.reduced_precision import halve_weights
from visionlib.export.source import name_source
from visionlib.inference import TrainedModel

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Spectral(nn.Module):
    """A network with an operation that ONNX lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, inputs: Any) -> Any:
        return self.linear(torch.special.i1(inputs).mean((2, 3)))


class Branching(Spectral):
    """A network that looks at its values, which no trace can follow."""

    def forward(self, inputs: Any) -> Any:
        if inputs.sum() > 0:
            return self.linear(inputs.mean((2, 3)))
        return self.linear(-inputs.mean((2, 3)))


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The graph of `shrunk_model` is that of its file, instead of being traced again, for seconds; give its size."""
    monkeypatch.setattr(onnx_file, "trace_module", lambda module, channels, output_names: onnx.load(exported))
    return exported.stat().st_size


def of_network(network: nn.Module) -> TrainedModel:
    return TrainedModel(network, (0.5,) * 3, (0.2,) * 3, image_size=(8, 8), classes=("a", "b", "c", "d"))


@pytest.mark.parametrize(("n", "height", "width"), [(1, 24, 24), (3, 24, 24), (1, 1, 1), (2, 301, 40), (5, 16, 77)])
def test_any_number_of_pictures_of_any_size(
    exported: Path, shrunk_model: TrainedModel, n: int, height: int, width: int
) -> None:
    session = onnxruntime.InferenceSession(exported)
    images = np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    found = session.run(None, {"images": images})
    with torch.no_grad():
        expected = PictureClassifier(shrunk_model)(torch.from_numpy(images))
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other.numpy(), rtol=1e-4, atol=1e-5)


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported: Path) -> None:
    proto = onnx.load(exported)
    onnx.checker.check_model(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(metadata["classes"]) == ["ant", "bee", "cat", "dog"]
    assert json.loads(metadata["image_size"]) == [24, 24]
    assert json.loads(metadata["temperature"]) == 0.7
    assert metadata["licence"] == "unknown"
    assert json.loads(metadata["versions"])["torch"] == torch.__version__
    assert [entry.name for entry in proto.graph.output] == ["probabilities", "embedding"]
    content = exported.read_bytes()
    for word in (str(Path(onnx_graph.__file__).parent), str(Path(torch.__file__).parent), ".py"):
        assert word.encode() not in content


def test_folders_of_this_machine_are_left_out_of_the_provenance() -> None:
    model = make_model(provenance="run /home/ada/my runs/first")
    assert name_source(model) == "run my first"


@pytest.mark.parametrize(
    "name", ["cnn8", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "resnet9", "resnet20"))]
)
def test_built_in_networks_export_with_equal_answers(name: str, tmp_path: Path) -> None:
    model = make_model(name, side_px=16)
    export = export_onnx(model, tmp_path / "model.onnx")
    assert export.largest_difference < 1e-5
    assert export.size_bytes == (tmp_path / "model.onnx").stat().st_size


@pytest.mark.parametrize(("precision", "largest", "share"), [("fp16", 0.01, 0.55), ("int8", 0.5, 0.4)])
def test_smaller_files_have_their_accuracy_measured(
    precision: Any, largest: float, share: float, tmp_path: Path, shrunk_model: TrainedModel, traced: int
) -> None:
    shapes = load_shapes(n_train=60, n_test=70, image_size=24)
    test, train = (replace(split, labels=split.labels % 4) for split in (shapes.test, shapes.train))
    data = replace(shapes, splits={"train": train, "test": test}, classes=shrunk_model.classes)
    export = export_onnx(shrunk_model, tmp_path / "model.onnx", precision=precision, dataset=data)
    assert export.size_bytes < share * traced
    assert 1e-6 < export.largest_difference < largest
    assert export.n == 70
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = test.images.permute(0, 2, 3, 1).contiguous().numpy()
    found = session.run(["probabilities"], {"images": images})[0].argmax(1)
    assert export.accuracy == pytest.approx((found == test.labels.numpy()).mean())
    own = shrunk_model.predict(test.images).logits.argmax(1).numpy()
    assert export.same_class == pytest.approx((found == own).mean())
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert metadata["precision"] == precision
    assert json.loads(metadata["accuracy"]) == export.accuracy


def test_a_weight_beyond_half_precision_is_named(exported: Path) -> None:
    proto = onnx.load(exported)
    weights = [entry for entry in proto.graph.initializer if entry.name.startswith("network.") and len(entry.dims) > 1]
    tensor = weights[-1]
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(tensor.dims), 1e6, np.float32), tensor.name))
    with pytest.raises(ModelError, match=f"{tensor.name}: has a value too large for half precision"):
        halve_weights(proto)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Spectral(), r"Spectral: cannot be exported \(operation .*bessel_i1\); replace"),
        (Branching(), "Branching: cannot be exported"),
        (nn.Sequential(nn.Flatten(), nn.Flatten(0)), "Sequential: returned a float32 tensor of shape"),
    ],
)
def test_networks_that_do_not_export_are_refused_in_one_line(network: nn.Module, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=problem) as raised:
        export_onnx(of_network(network), tmp_path / "model.onnx")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("answer", [0.25, np.nan])
def test_a_file_that_answers_otherwise_is_not_written(
    answer: float, shrunk_model: TrainedModel, tmp_path: Path
) -> None:
    with (
        patch.object(onnx_file, "classify", lambda session, images: np.full((len(images), 4), answer)),
        pytest.raises(ModelError, match="ResNet: the ONNX file's probabilities differ from the network's by up to"),
    ):
        export_onnx(shrunk_model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("traced")
def test_an_output_that_exists_is_kept_unless_forced(shrunk_model: TrainedModel, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"model\.onnx: exists; choose another name, or replace it with --force"):
        export_onnx(shrunk_model, out)
    assert out.read_text() == "mine"
    with patch.object(onnx_file, "_describe", side_effect=KeyError), pytest.raises(KeyError):
        export_onnx(shrunk_model, out, force=True)
    assert out.read_text() == "mine"
    export_onnx(shrunk_model, out, force=True)
    assert onnx.load(out).graph.input[0].name == "images"


@pytest.mark.parametrize("place", ["folder", "absent/model.onnx"])
def test_places_for_no_file_are_refused_before_anything_is_computed(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with patch.object(onnx_file, "trace_module") as trace, pytest.raises(ConfigError, match="folder"):
        export_onnx(make_model(), tmp_path / place, force=True)
    trace.assert_not_called()


def test_int8_needs_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--precision int8: needs training images"):
        export_onnx(make_model(), tmp_path / "model.onnx", precision="int8")


@pytest.mark.parametrize("missing", [{"onnx"}, {"onnxruntime", "onnxscript"}])
def test_a_missing_extra_says_what_brings_it(missing: set[str], tmp_path: Path) -> None:
    find = importlib.util.find_spec
    names = ", ".join(name for name in ("onnx", "onnxruntime", "onnxscript") if name in missing)
    with (
        patch.object(importlib.util, "find_spec", lambda name: None if name in missing else find(name)),
        pytest.raises(ConfigError, match=re.escape(f"{names} ") + r".*pip install 'visionlib-torch\[export\]'"),
    ):
        export_onnx(make_model(), tmp_path / "model.onnx")


def test_the_serving_example_of_the_docs_answers(
    exported: Path, shrunk_model: TrainedModel, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines, with a stand-in for FastAPI, which is no dependency."""
    page = (project_root / "docs" / "export.md").read_text(encoding="utf-8")
    lines = next(
        block.partition("\n```")[0] for block in page.split("```python\n") if block.startswith("import io, json")
    )
    server = types.ModuleType("fastapi")
    vars(server).update(
        FastAPI=lambda: SimpleNamespace(post=lambda _path: lambda function: function), UploadFile=object
    )
    monkeypatch.setitem(sys.modules, "fastapi", server)
    shutil.copyfile(exported, tmp_path / "first.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(lines, names)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    answer = names["classify"](SimpleNamespace(file=file))
    with torch.no_grad():
        expected = PictureClassifier(shrunk_model)(torch.from_numpy(pixels)[None])[0][0]
    assert list(answer) == list(shrunk_model.classes)
    assert list(answer.values()) == pytest.approx(expected.tolist(), abs=1e-5)
