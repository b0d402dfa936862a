"""`visionlib test` as a user meets it: pictures, JSON, wrong usage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from visionlib.evaluation.pictures.overview import PICTURES
from visionlib.runs import Run, read_json


def test_pictures_come_as_png_and_svg_with_a_description(finished_run: Run, tmp_path: Path) -> None:
    result = visionlib("test", finished_run.path, "--pictures", tmp_path / "new" / "folder", "--json")
    assert result.returncode == 0, result.stderr
    saved = {f"{name}{kind}" for name in PICTURES for kind in (".png", ".svg")}
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == saved
    assert {Path(line.removeprefix("drawn: ")).name for line in result.stderr.splitlines()} == saved
    printed = json.loads(result.stdout)
    sentence = f"{printed['n'] - printed['correct']} of {printed['n']} images are wrong"
    with Image.open(tmp_path / "new" / "folder" / "confusion.png") as picture:
        assert sentence in picture.info["Description"]
        assert picture.width <= 1000
    assert sentence in (tmp_path / "new" / "folder" / "confusion.svg").read_text(encoding="utf-8")


def test_json_is_what_the_record_holds(finished_run: Run) -> None:
    printed = json.loads(visionlib("test", finished_run.path, "--json").stdout)
    record = read_json(finished_run.evaluation)
    assert set(record) - set(printed) == {"schema_version", "content_hash", "weights_sha256"}
    assert all(printed[key] == record[key] for key in set(printed) - {"run"})
    assert printed["run"] == str(finished_run.path)


@pytest.mark.parametrize("color", ["", "1"])
def test_the_table_has_no_colours_in_a_pipe(finished_run: Run, color: str) -> None:
    result = visionlib("test", finished_run.path, NO_COLOR=color)
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert result.stderr == ""
    assert "most confused" in result.stdout
    assert "--validation-fraction 0.1" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--pictures", "file/pictures"], 2, "file/pictures: cannot be made (Not a directory); choose another folder"),
        (["--picture", "x"], 2, "No such option"),
        (["--batch-size", "0"], 2, "Input should be greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_one_line(
    finished_run: Run, arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = visionlib("test", finished_run.path, *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_a_reader_that_leaves_early_is_no_failure(finished_run: Run) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "visionlib", "test", str(finished_run.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
    process.stderr.close()
