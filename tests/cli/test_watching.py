"""`visionlib lr-find`, and what `visionlib train` leaves to look at, as a user meets them."""

import json
import shlex
from pathlib import Path

import pytest
import typer.main

from tests.cli.processes import visionlib
from tests.cli.test_commands import write_image_folder
from visionlib.cli.app import app
from visionlib.runs import Run

SETTINGS = ["--model", "resnet20", "--batch-size", "4", "--precision", "fp32", "--threads", "1"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset in it."""
    folder = tmp_path_factory.mktemp("place")
    write_image_folder(folder / "my pictures")
    return folder


def test_a_suggestion_comes_with_its_rule_and_a_command_that_follows_it(place: Path) -> None:
    extra = ["--resolutions", "0.5,1", "--seed", "3", "--peak-learning-rate", "9"]
    told = visionlib("lr-find", "my pictures", *SETTINGS, *extra, "--steps", 30, cwd=place)
    assert told.returncode == 0, told.stderr
    record = json.loads(
        visionlib("lr-find", "my pictures", *SETTINGS, *extra, "--steps", 30, "--json", cwd=place).stdout
    )
    assert f"suggested peak learning rate: {record['suggestion']:g}\n  it is {record['rule']}\n" in told.stdout
    assert told.stdout.endswith(f"next: {record['next']}\n")
    assert len(record["rates"]) == len(record["losses"]) == len(record["smoothed"]) <= 30
    words = shlex.split(record["next"])
    assert words[:3] == ["visionlib", "train", "my pictures"]
    context = typer.main.get_command(app).commands["train"].make_context("train", words[2:])  # type: ignore[attr-defined]
    given = {name: value for name, value in context.params.items() if value not in (None, False)}
    assert given["peak_learning_rate"] == pytest.approx(record["suggestion"])
    assert (given["resolutions"], given["seed"], given["batch_size"]) == ("0.5,1", 3, 4)


def test_without_a_suggestion_the_reason_comes_with_the_test_to_make(place: Path, tmp_path: Path) -> None:
    extra = ["--growth", "linear", "--steps", 20, "--highest", 5]
    told = visionlib("lr-find", "my pictures", *SETTINGS, *extra, "--plot", tmp_path / "rate.png", cwd=place)
    assert told.returncode == 0, told.stderr
    first, reason, following = told.stdout.splitlines()
    assert first == "suggested peak learning rate: none"
    assert reason.startswith("  too few steps to tell, ")
    assert reason.endswith(": take at least 100 steps of exponential growth")
    assert (tmp_path / "rate.png").read_bytes().startswith(PNG)
    record = json.loads(visionlib("lr-find", "my pictures", *SETTINGS, *extra, "--json", cwd=place).stdout)
    assert (record["suggestion"], record["settings"], record["next_test"]) == (None, {}, {"steps": 100})
    assert f"next: {record['next']}" == following
    words = shlex.split(record["next"])
    assert words[:3] == ["visionlib", "lr-find", "my pictures"]
    context = typer.main.get_command(app).commands["lr-find"].make_context("lr-find", words[2:])  # type: ignore[attr-defined]
    assert {name: context.params[name] for name in ("steps", "growth", "lowest", "highest", "batch_size")} == {
        "steps": 100,
        "growth": "exponential",
        "lowest": 0.001,
        "highest": 5,
        "batch_size": 4,
    }


@pytest.mark.parametrize(("name", "begin"), [("rate.png", PNG), ("rate.svg", b"<?xml")])
def test_the_curve_is_drawn(name: str, begin: bytes, place: Path, tmp_path: Path) -> None:
    told = visionlib("lr-find", "my pictures", *SETTINGS, "--steps", 20, "--plot", tmp_path / name, cwd=place)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / name).read_bytes().startswith(begin)
    assert {path.name for path in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "rate.pdf"], "rate.pdf: is no picture by its name; end it in .png or .svg"),
        (["--plot", "absent/rate.png"], "there is no folder absent"),
        (["--steps", "5"], "steps: 5 are too few"),
        (["--lowest", "2", "--highest", "1"], "lowest, highest: 2 and 1 are no range"),
        (["--growth", "fast"], "'fast' is not one of"),
        (["--epochs", "0"], "epochs: 0 is out of range"),
        (["--schedule", "stairs"], "'stairs' is not one of"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, place: Path) -> None:
    told = visionlib("lr-find", "my pictures", *SETTINGS, *arguments, cwd=place)
    assert told.returncode == 2
    assert told.stdout == ""
    last = told.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_training_leaves_a_picture_and_tensorboards_files(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    options = ["--epochs", 2, "--test-every", 1, "--tensorboard", "--schedule", "cosine", "--out", tmp_path / "run"]
    told = visionlib("train", "my pictures", *SETTINGS, *options, cwd=place)
    assert told.returncode == 0, told.stderr
    run = Run(tmp_path / "run")
    assert run.history_picture.read_bytes().startswith(PNG)
    assert len(list(run.tensorboard.iterdir())) == 1
    history = [json.loads(line) for line in run.history.read_text().splitlines()]
    assert [record["test_n"] for record in history] == [4, 4]


def test_the_picture_of_a_run_without_test_images(place: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "train").symlink_to(place / "my pictures" / "train")
    told = visionlib("train", "alone", *SETTINGS, "--epochs", 1, "--out", "run", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert Run(tmp_path / "run").history_picture.read_bytes().startswith(PNG)
