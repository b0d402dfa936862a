"""`visionlib report`, as a user meets it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.processes import visionlib
from tests.cli.test_inspect import pictures as pictures
from tests.report.runs import make_run
from visionlib.data import Dataset
from visionlib.runs import Run


@pytest.fixture(scope="module")
def made(pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a folder of pictures, which every process can read for itself."""
    return make_run(tmp_path_factory.mktemp("runs") / "run", pictures)


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    shutil.copytree(made.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_it_writes_the_page_and_prints_how_to_open_it(run: Run, tmp_path: Path) -> None:
    result = visionlib("report", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    size = run.report.stat().st_size
    assert lines[0].startswith(f"run/report.html: {size / 1e6:.2f} MB, pictures of all ")
    assert lines[-1] == f"open it in a browser: {run.report.resolve().as_uri()}"
    assert len(lines) == 2
    assert result.stderr == ""


def test_json_is_the_result_alone(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(run.explanations)
    result = visionlib("report", "run", "--out", "page.html", "--json", cwd=tmp_path)
    record = json.loads(result.stdout)
    assert record["report"] == "page.html"
    assert record["bytes"] == (tmp_path / "page.html").stat().st_size
    assert record["missing"]["explanations"] == {"reason": "the run lacks it", "command": "visionlib explain run"}
    assert not run.report.exists()


def test_make_makes_what_is_missing_and_nothing_else(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(run.explanations)
    run.summary.unlink()
    (run.inspection / "duplicates.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.inspection.iterdir()}
    result = visionlib("report", "run", "--make", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    making = [line for line in result.stderr.splitlines() if line.startswith("making: ")]
    assert making == ["making: summary", "making: explanations", "making: quality", "making: duplicates"]
    assert "without" not in result.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (run.explanations / "quality.json").is_file()


def test_a_part_that_fails_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    shutil.rmtree(run.explanations)
    run.weights.write_bytes(b"other content")
    (run.inspection / "duplicates.json").unlink()
    result = visionlib("report", "run", "--make", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "not made: explanations: run/model.safetensors: does not have the SHA-256 of model.json" in result.stderr
    assert (run.inspection / "duplicates.json").is_file()
    assert "without explanations, which can be made with: visionlib explain run" in result.stdout
    assert "without duplicates" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none"], 2, "none: there is no such run folder"),
        (["run", "--make", "--out", "none/page.html"], 2, "none/page.html: there is no folder none; make it first"),
        (["run", "--out", "."], 2, ".: is a folder; name a file to write"),
        (["run", "--against", "none"], 2, "none: there is no such run folder"),
        (["run", "--ful"], 2, "No such option"),
        (["run", "--dataset", "cifar-10"], 0, ""),
    ],
)
def test_errors_are_one_line(run: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    result = visionlib("report", *arguments, cwd=tmp_path)
    assert result.returncode == code
    if code:
        last = result.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        assert message in last
        assert "Traceback" not in result.stderr
        assert not run.report.exists()
    else:
        # A page without pictures is a page; it says what is missing.
        assert "without images, which can be made with: visionlib report run --dataset PLACE" in result.stdout
