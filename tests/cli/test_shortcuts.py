"""`visionlib shortcuts` and `visionlib data --check` as a user meets them: tables, JSON, wrong usage."""

import io
import json

import pytest
from rich.console import Console

from tests.cli.processes import visionlib
from tests.cli.test_inspect import pictures as pictures
from tests.cli.test_inspect import run as run
from tests.cli.test_inspect import trained as trained
from tests.report.runs import make_reliance
from visionlib.cli.shortcut_tables import tabulate_reliance, tabulate_shortcuts
from visionlib.data import Dataset
from visionlib.runs import Run, read_json


def test_json_is_what_the_run_keeps(run: Run) -> None:
    result = visionlib("shortcuts", run.path, "--n", "20", "--maps", "4", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    printed, record = json.loads(result.stdout), read_json(run.shortcuts)
    assert set(record) - set(printed) == {"schema_version", "weights_sha256"}
    assert all(printed[key] == record[key] for key in set(printed) - {"run"})
    assert (printed["n"], printed["n_maps"]) == (20, 4)
    assert {entry["property"] for entry in printed["properties"]} >= {"brightness", "top left corner", "border"}


def test_the_check_of_data_is_a_table(pictures: Dataset) -> None:
    result = visionlib("data", pictures.name, "--check")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    text = " ".join(result.stdout.split())
    assert "what simple properties alone tell of the class property alone correct above largest class p" in text
    assert "of 200 images, 5 folds; the largest class alone is right on 25.0 %" in text


def test_a_narrow_terminal_shows_whole_figures_and_a_class_with_markup() -> None:
    result = make_reliance("[red]star")
    with io.StringIO() as stream:
        Console(file=stream, width=80).print(*tabulate_shortcuts(result.shortcuts), *tabulate_reliance(result))
        written = stream.getvalue()
    assert max(map(len, written.splitlines())) <= 80
    text = " ".join(written.split())
    assert "top left corner 28.3 % +11.67 (+" in text
    assert "alarm: [red]star is given away by its top left corner: 80.0 % of its images, 0.40 % of others" in text
    assert "[red]star: 97.5 % correct, with its top left corner replaced 37.5 % (" in text
    assert "The network relies on what gives a class away: top left corner; 200 test images" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/absent"], "no/absent: there is no such run folder"),
        (["no/absent", "--n", "0"], "Invalid value for '--n'"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str) -> None:
    result = visionlib("shortcuts", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
