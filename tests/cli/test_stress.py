"""`visionlib stress` as a user meets it: tables, JSON, a picture, wrong usage."""

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.cli.processes import visionlib
from tests.cli.test_inspect import pictures as pictures
from tests.cli.test_inspect import run as run
from tests.cli.test_inspect import trained as trained
from visionlib.cli.stress_tables import tabulate_stress
from visionlib.evaluation.stress.answers import Answers
from visionlib.runs import Run, read_json


def test_tables_of_two_kinds_have_no_colours_in_a_pipe(run: Run) -> None:
    result = visionlib("stress", run.path, "--n", "20", "--only", "weather,shift", "--only", "pixelate")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    lines = [line.strip() for line in result.stdout.splitlines()]
    kinds = [line for line in lines if line in ("noise", "weather", "digital", "extra")]
    assert kinds == ["weather", "digital", "extra"]
    assert (
        sum(line.startswith(("snow ", "frost ", "fog ", "brightness ", "pixelate ", "shift ")) for line in lines) == 6
    )
    text = " ".join(result.stdout.split())
    assert "mean of the 5" in text
    assert "accuracy in % of 20 test images, chosen by seed 0 of 70" in text
    assert "mean accuracy under corruption" in text


def test_json_is_what_the_run_keeps_and_the_picture_is_drawn(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "stress.png"
    result = visionlib("stress", run.path, "--n", "9", "--only", "fog", "--plot", picture, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"drawn: {picture}\n"
    printed, record = json.loads(result.stdout), read_json(run.stress)
    assert set(record) - set(printed) == {"schema_version", "weights_sha256"}
    assert all(printed[key] == record[key] for key in set(printed) - {"run"})
    assert [entry["strength"] for entry in printed["conditions"]] == [1, 2, 3, 4, 5]
    with Image.open(picture) as drawn:
        assert "9 images" in drawn.info["Description"]


def test_a_narrow_terminal_shortens_names_and_no_number() -> None:
    labels = torch.arange(40) % 2
    clean, right = torch.ones(40, dtype=torch.bool), torch.ones(1, 5, 40, dtype=torch.bool)
    right[0, 4, :30] = False
    answers = Answers(("elastic_transform",), labels, clean, right, clean.double(), right.double())
    result = answers.summarize(
        ("a class with a very long name", "dog"),
        n_split=40,
        seed=0,
        network="",
        source="",
        temperature=None,
        content_hash="",
    )
    with io.StringIO() as stream:
        Console(file=stream, width=80).print(*tabulate_stress(result))
        lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line.split() for line in lines if "dog" in line]
    low, high = result.per_class[1].drop_interval
    assert row[1:9] == ["20", "100.0", "100.0", "100.0", "25.0", "15.0", f"{100 * low:.1f}", "to"]
    assert row[9] == f"{100 * high:.1f}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "fogg"], "corruption fogg: there is none of this name; known are: fog"),
        (["--plot", "stress.txt"], "stress.txt: is no picture by its name; end it in .png or .svg"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    result = visionlib("stress", run.path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(f"error: {message}")
