"""The commands as a user meets them: real processes, real exit codes, stdout and stderr apart."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.cli.processes import ROOT, visionlib
from visionlib.cli.app import _format_warning, app
from visionlib.errors import VisionlibWarning
from visionlib.runs import Run

COMMANDS = [
    command.name or command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback
]


SMALL_SHAPES = ["shapes", "--image-size", "16"]
"""Drawn in a quarter of the time."""


def test_help_loads_no_torch_and_takes_less_than_half_a_second() -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "from visionlib.cli.app import app\n"
        "app(['--help'], prog_name='visionlib', standalone_mode=False)\n"
        "print([m for m in ('torch', 'matplotlib', 'numpy', 'PIL') if m in sys.modules])\n"
        "print(time.process_time() - start)"
    )
    shown = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
        for _ in range(3)
    ]
    assert all(lines[-2] == "[]" for lines in shown)
    assert min(float(lines[-1]) for lines in shown) < 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_docs_entry(command: str, project_root: Path) -> None:
    result = visionlib(command, "--help")
    assert result.returncode == 0
    assert f"Example: visionlib {command}" in result.stdout
    assert "--json" in result.stdout
    assert f"## visionlib {command}" in (project_root / "docs" / "commands.md").read_text()


def help_texts() -> dict[str, tuple[str, set[str]]]:
    """The help text of every argument and option, with the values that it can take."""
    return {
        f"{command.callback.__name__} {parameter.name}": (str(info.help or ""), literals(kind))
        for command in app.registered_commands
        if command.callback
        for parameter in inspect.signature(command.callback).parameters.values()
        for kind, info in [get_args(parameter.annotation)[:2]]
    }


def literals(kind: Any) -> set[str]:
    if isinstance(kind, str):
        return {kind}
    return {value for part in get_args(kind) for value in literals(part)}


def test_every_option_has_a_help_text() -> None:
    for option, (text, _) in help_texts().items():
        assert re.search(r"\w+[,:]? \w+", text), f"{option} has no help"
        assert text.endswith("."), f"{option}: {text}"


def test_help_texts_begin_with_a_capital_letter_or_a_value_as_it_is_typed() -> None:
    for option, (text, choices) in help_texts().items():
        first = re.match(r"[\w.-]*", text)[0]  # type: ignore[index]
        typed = choices | {"cpu", "cuda", "mps", "auto", "bf16", "fp32"}
        assert text[0].isupper() or first in typed, f"{option}: {text}"
        assert first not in {value.capitalize() for value in typed}, f"{option}: {text}"


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"visionlib \d+\.\d+\.\d+\n", visionlib("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "shapes", "--epoch", "3"], 2, "No such option"),
        (["train"], 2, "DATASET: there is none to train on; name one, or an interrupted run with --resume"),
        (["train", "--resume", "no-such-run"], 2, "no-such-run: there is no such run folder"),
        (["train", "--resume", "run", "--epochs", "3", "--out", "b"], 2, "--out, --epochs: a resumed run keeps"),
        (["trian"], 2, "No such command 'trian'"),
        (
            ["train", "shapes", "--recipe", "slow"],
            2,
            "slow: there is no such recipe; known are: auto, quick",
        ),
        (["train", "shapes", "--epochs", "0"], 2, "epochs: 0 is out of range"),
        (["train", "shapes", "--resolutions", "half"], 2, "--resolutions: 'half' is no list of numbers"),
        (["train", "shapes", "--config", "absent.toml"], 2, "absent.toml: cannot be read"),
        (["train", "shapes", "--device", "cuda:99"], 2, "device: cuda:99 is not on this machine"),
        (["train", "no-such-set"], 2, "no-such-set"),
        (["train", *SMALL_SHAPES, "--model", "resnet17"], 2, "resnet17: there is no built-in model of this name"),
        (["train", *SMALL_SHAPES, "--model", "absent.py:Net"], 2, "absent.py:Net: there is no file absent.py"),
        (["train", *SMALL_SHAPES, "--init", "./absent.pt"], 2, "absent.pt: there is no such weight file or folder"),
        (["train", "shapes", "--peak-learning-rate", "inf"], 2, "inf is out of range; it must be at most 1e+30"),
        (["train", "shapes", "--weight-decay", "1e308"], 2, "weight_decay: 1e+308 is out of range"),
        (["train", "shapes", "--seed", f"{2**64 - 1}"], 2, f"it must be from 0 to {2**63 - 1}"),
        (
            ["train", *SMALL_SHAPES, "--crop-px", "16"],
            2,
            "crop_px: 16 px are no shift within images of 16 x 16 px; set 0",
        ),
        (["data", "cifar-11"], 2, "cifar10"),
        (["test", "no-such-run"], 2, "no-such-run: there is no such run folder"),
        (["summary", "./" + "n" * 300], 2, "(File name too long)"),
        (["import", "n" * 300, "--out", "made"], 2, "(File name too long)"),
    ],
)
def test_errors_are_one_line_on_stderr(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    result = visionlib(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_warning_for_users_is_one_line_and_others_keep_their_place() -> None:
    told = _format_warning(VisionlibWarning("it takes hours"), VisionlibWarning, "a.py", 7)
    assert told == "warning: it takes hours\n"
    other = _format_warning(RuntimeWarning("overflow"), RuntimeWarning, "a.py", 7)
    assert other == "a.py:7: RuntimeWarning: overflow\n"


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    result = visionlib("test", "no-such-run", "--debug", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: no-such-run")


def test_test_prints_a_table_without_colours_in_a_pipe(finished_run: Run) -> None:
    result = visionlib("test", finished_run.path)
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    overall = next(line for line in result.stdout.splitlines() if line.strip().startswith("overall"))
    assert re.search(r"overall +70 +\d+\.\d\d % +\d+\.\d % to \d+\.\d %", overall)


def test_json_and_table_agree(finished_run: Run) -> None:
    figures = json.loads(visionlib("test", finished_run.path, "--json").stdout)
    table = visionlib("test", finished_run.path).stdout
    assert set(figures) >= {"accuracy", "confidence_interval", "n", "loss", "per_class"}
    for entry in [*figures["per_class"], {"class": "overall", **figures}]:
        line = next(line for line in table.splitlines() if line.strip().startswith(entry["class"] + " "))
        assert f"{100 * entry['accuracy']:.2f} %" in line
        low, high = entry["confidence_interval"]
        assert f"{100 * low:.1f} % to {100 * high:.1f} %" in line


def test_data_prints_the_json_that_was_agreed() -> None:
    result = visionlib("data", "shapes", "--json")
    figures = json.loads(result.stdout)
    assert set(figures) >= {"dataset", "content_hash", "splits", "warnings"}
    train = figures["splits"]["train"]
    assert set(train) >= {"n", "image_size", "per_class", "mean", "std"}
    assert train["image_size"] == [32, 32]
    assert sum(train["per_class"].values()) == train["n"]
    assert all(0 < value < 1 for value in train["mean"] + train["std"])


def test_train_then_test_from_an_image_folder(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "pictures")
    settings = ["--model", "resnet20", "--epochs", 1, "--batch-size", 8, "--precision", "fp32"]
    trained = visionlib("train", "pictures", *settings, "--out", "run", "--json", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    figures = json.loads(trained.stdout)
    expected = {"run", "epochs", "seconds_training", "seconds_total", "images_per_second", "test_accuracy"}
    assert set(figures) >= expected
    assert "epoch 1/1" in trained.stderr
    tested = json.loads(visionlib("test", "run", "--predict", "--json", cwd=tmp_path).stdout)
    assert tested["n"] == 4
    assert tested["accuracy"] == pytest.approx(figures["test_accuracy"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["batch_size"] == 8
    assert config["command"][1:3] == ["train", "pictures"]


def test_settings_come_from_recipe_then_file_then_flags(tmp_path: Path) -> None:
    from visionlib.cli.settings import resolve_config
    from visionlib.training import RECIPES

    file = tmp_path / "run.toml"
    file.write_text('recipe = "standard"\nepochs = 3\nseed = 4\nresolutions = [0.5, 1]\n')
    config = resolve_config("quick", file, {"seed": 5})
    assert config == RECIPES["standard"].replace(epochs=3, seed=5, resolutions=(0.5, 1.0))
    file.write_text("epochs = [")
    with pytest.raises(Exception, match=r"run\.toml: is no TOML"):
        resolve_config("quick", file, {})


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_training_with_its_code_and_no_half_files(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    write_image_folder(tmp_path / "pictures")
    settings = ["--model", "resnet20", "--epochs", "1000", "--batch-size", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "visionlib", "train", "pictures", *settings, "--out", "run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        # Who runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "config.json").exists():
        assert time.monotonic() < deadline, "training did not start"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert "Traceback" not in told
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left <= {"config.json", "history.jsonl", "resume.pt"}


def test_without_a_recipe_few_pictures_get_settings_that_fit(tmp_path: Path) -> None:
    """The recipe of CIFAR-10 would be 5 steps of 12 images."""
    write_image_folder(tmp_path / "pictures")
    told = visionlib("train", "pictures", "--epochs", "2", "--out", "run", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "settings chosen for 12 images of 16 x 16 px in 2 classes: cnn8, 2 epochs of 32 images a step" in told.stderr
    assert "few images are learned in small batches" in told.stderr
    assert "of training here" in told.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (stored["model"], stored["batch_size"], stored["epochs"]) == ("cnn8", 32, 2)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_an_interrupted_training_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "pictures")
    settings = ["--recipe=quick", "--model=resnet20", "--epochs=40", "--batch-size=4", "--precision=fp32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "visionlib", "train", "pictures", *settings, "--out", "run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "history.jsonl").exists():
        assert time.monotonic() < deadline, "training did not start"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert told.endswith("interrupted and saved; go on with: visionlib train --resume run\n")
    resumed = visionlib("train", "--resume", "run", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after epoch" in resumed.stderr
    assert json.loads(resumed.stdout)["epochs"] == 40
    again = visionlib("train", "--resume", "run", cwd=tmp_path)
    assert again.returncode == 1
    assert "run: is finished" in again.stderr


def write_image_folder(folder: Path) -> None:
    """Write 12 training and 4 test pictures of two classes, drawn by the library."""
    from PIL import Image

    from visionlib.data.shapes import draw_shapes

    split = draw_shapes(16, image_size=16)
    for position, image in enumerate(split.images):
        part = "train" if position < 12 else "test"
        home = folder / part / ("a" if position % 2 else "b")
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(home / f"{position:02}.png")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m visionlib"
    for words in ("--help", "train --help", "summary resnet20"):
        script = f"set -o pipefail; {command} {words} | head -1 > /dev/null"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words


def test_a_training_goes_on_without_a_reader_of_its_messages(tmp_path: Path) -> None:
    run, pictures = tmp_path / "run", tmp_path / "pictures"
    write_image_folder(pictures)
    words = f"train {pictures} --model resnet20 --epochs 20 --batch-size 4 --device cpu --out {run}"
    script = f"set -o pipefail; {sys.executable} -m visionlib {words} 2>&1 | head -1 > /dev/null"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "training.json").is_file()
