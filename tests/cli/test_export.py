"""`visionlib export` as a user meets it."""

import json
import shutil
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

from tests.cli.processes import visionlib
from visionlib.cli.app import app
from visionlib.export import onnx_file
from visionlib.runs import Run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def exported(finished_run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The file, and what the command told of it; a trace takes seconds."""
    out = tmp_path_factory.mktemp("onnx") / "first.onnx"
    done = visionlib("export", finished_run.path, "--to", "onnx", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_a_run_becomes_an_onnx_file_once(exported: tuple[Path, dict[str, Any]], finished_run: Run) -> None:
    out, result = exported
    assert result["to"] == "onnx"
    assert result["size_bytes"] == out.stat().st_size
    assert result["largest_difference"] < 1e-5
    again = visionlib("export", finished_run.path, "--to", "onnx", "--out", out)
    assert again.returncode == 2
    assert again.stderr == f"error: {out}: exists; choose another name, or replace it with --force\n"


def test_a_run_becomes_a_hub_folder(
    exported: tuple[Path, dict[str, Any]],
    finished_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the graph of the file, instead of the same traced again."""
    folder, run = tmp_path / "hub", tmp_path / "run"
    shutil.copytree(finished_run.path, run)
    (run / "evaluation.json").unlink(missing_ok=True)
    # The run was trained on a dataset in memory, so that its stored predictions are all that can be evaluated.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # typer passes None for a flag that is not given
    monkeypatch.setattr(onnx_file, "trace_module", lambda module, channels, output_names: onnx.load(exported[0]))
    app(["export", str(run), "--to", "hub", "--out", str(folder), "--json", "--licence", "mit"], standalone_mode=False)
    assert "README.md" in json.loads(capsys.readouterr().out)["files"]
    assert "n = 70" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_a_run_becomes_an_archive_of_torch_export(finished_run: Run, tmp_path: Path) -> None:
    done = visionlib("export", str(finished_run.path), "--to", "pt2", "--out", str(tmp_path / "a.pt2"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'a.pt2'}: ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["resnet20-none", "--to", "onnx", "--out", "a.onnx"], 2, "resnet20-none: there are no pretrained weights"),
        (
            ["RUN", "--to", "onnx", "--out", "absent/a.onnx"],
            2,
            "absent/a.onnx: there is no folder absent; make it first",
        ),
        (
            ["RUN", "--to", "pt2", "--out", "a.pt2", "--precision", "int8"],
            2,
            "--precision: int8 is none of --to pt2; leave it out",
        ),
        (["RUN", "--to", "hub", "--out", "RUN", "--force"], 2, "is a run, whose files would be replaced"),
        (["RUN", "--to", "tflite", "--out", "a"], 2, "'tflite' is not one of"),
        (["RUN", "--to", "onnx", "--out", "a.onnx", "--precision", "int8"], 1, "was trained on other data"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(
    arguments: list[str], code: int, message: str, finished_run: Run, tmp_path: Path
) -> None:
    filled = [str(finished_run.path) if word == "RUN" else word for word in arguments]
    done = visionlib("export", *filled, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
