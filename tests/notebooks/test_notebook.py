"""The notebooks run, and are what their scripts say."""

import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks.pairs import notebook_cells, notebooks, read_notebook, script_cells

NAMES = [path.stem for path in notebooks()]


def test_there_is_a_notebook() -> None:
    assert NAMES == ["cifar10_resnet18", "own_pictures"]


@pytest.mark.parametrize("path", notebooks(), ids=NAMES)
def test_a_notebook_and_its_script_are_in_step(path: Path) -> None:
    cells = notebook_cells(path)
    assert len(cells) > 10
    assert cells == script_cells(path.with_suffix(".py")), f"run `jupytext --sync {path.name}`"


@pytest.mark.parametrize("path", notebooks(), ids=NAMES)
def test_what_a_notebook_keeps_is_small_and_of_no_machine(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    notebook = read_notebook(path)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["execution_count"] is None for cell in code)
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not re.findall(r"/(?:tmp|root|work)/|srcdoc=", str(outputs))
    assert notebook["metadata"]["jupytext"]["formats"] == "ipynb,py:percent"
    assert set(notebook["metadata"]) == {"jupytext", "kernelspec"}
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_a_reader_of_the_first_notebook_sees_its_pictures() -> None:
    cells = read_notebook(notebooks()[0])["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 12
    assert any("epoch 8/8" in "".join(output.get("text", "")) for output in outputs)


@pytest.mark.parametrize("path", notebooks(), ids=NAMES)
def test_a_notebook_says_first_what_it_takes_and_installs_what_is_missing(path: Path) -> None:
    (kind, first), (_, second), *_ = notebook_cells(path)
    assert kind == "markdown"
    assert "**What it takes.** Python 3.11 or newer" in first
    assert re.search(r"minutes on two idle processor", first) or "time on two idle processor cores" in first
    assert '"pip", "install"' in second
    assert '"/' not in "".join(text for _, text in notebook_cells(path)), "a path of one machine"


@pytest.mark.parametrize("path", notebooks(), ids=NAMES)
def test_every_code_cell_is_python_but_for_magic(path: Path) -> None:
    for kind, text in notebook_cells(path):
        if kind == "code":
            compile(re.sub(r"^%.*$", "", text, flags=re.MULTILINE), path.name, "exec")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_the_notebook_runs_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    path, _ = notebooks()
    started = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    _replace(notebook, "IS_SHORT = False", "IS_SHORT = True")
    # No CIFAR-10 here, and a network that leads nowhere: the notebook itself has to turn to shapes.
    monkeypatch.setenv("VISIONLIB_DATA", str(tmp_path))
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        # One thread: two that share their cores with other processes wait for each other.
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("PYTHONPATH", str(path.parents[1]), prepend=os.pathsep)
        # The cells wait for each other; 120 seconds are for each of them.
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert time.monotonic() - started < 120
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    written = "".join(output.get("text", "") for output in outputs)
    assert "So the notebook goes on with shapes, which need no network." in written
    assert "shapes: 10,000 images to learn from, 2,000 to test on; resnet20" in written
    assert re.search(r"epoch 1/1", written)
    kinds = [set(output.get("data", {})) for output in outputs]
    assert sum("image/png" in kind for kind in kinds) == 12
    assert sum("text/html" in kind for kind in kinds) >= 2
    written_html = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "evaluation.json").is_file()
    assert sum("srcdoc=" in html for html in written_html) == 1
    assert (run / "report.html").stat().st_size > 300_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_the_notebook_for_ones_own_folder_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    _, path = notebooks()
    notebook = nbformat.read(path, as_version=4)
    _replace(notebook, "IS_SHORT = False", "IS_SHORT = True")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(path.parents[1]), prepend=os.pathsep)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    written = "".join(output.get("text", "") for output in outputs)
    assert len(list((tmp_path / "drawn-pictures").glob("*/*.png"))) == 200
    assert "drawn-pictures: 180 images to learn from" in written
    assert len(re.findall(r"^drawn-pictures/\w+/\d+\.png \w+ \d", written, re.MULTILINE)) == 3
    assert not [output for output in outputs if output.get("name") == "stderr"]
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "report.html").stat().st_size > 50_000


def _replace(notebook: Any, old: str, new: str) -> None:
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
    cell.source = cell.source.replace(old, new)
