"""`visionlib summary`, as processes where stdout and exit code matter, and within this one where only words do."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from tests.cli.processes import visionlib
from visionlib.cli.summary import summary
from visionlib.data import Dataset
from visionlib.errors import ConfigError, VisionlibError
from visionlib.runs import Run

TINY = """
from torch import nn

def build(classes=10, channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, classes),
    )
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "tiny_to_sum_up.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return "tiny_to_sum_up:build"


def ask(capsys: pytest.CaptureFixture[str], model: object, **options: Any) -> str:
    """Run the command in this process; give what it prints to stdout."""
    summary(str(model), **options)
    return capsys.readouterr().out


def figures(capsys: pytest.CaptureFixture[str], model: object, **options: Any) -> dict[str, Any]:
    return dict(json.loads(ask(capsys, model, **options, json=True)))


def test_the_exact_table_in_a_pipe() -> None:
    result = visionlib("summary", "resnet18", COLUMNS="80")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert result.stderr == ""
    header = result.stdout.splitlines()[:3]
    assert header[0] == "resnet18 on 3 x 32 x 32"
    assert header[1].startswith("receptive fields: exact; ")
    assert "473 x 473 and not 109 x 109" in " ".join(header[1:])
    rows = [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines() if line.startswith("  ")]
    assert ["layer4 (Sequential)", "512 x 4 x 4", "-", "-", "109 x 109", "8", "-54", "100%"] in rows
    assert sum(int(row[2].replace(",", "")) for row in rows if row[2:] and row[2] != "-") == 11_173_962
    assert "parameters  11,173,962" in result.stdout


def test_the_table_of_2020() -> None:
    result = visionlib("summary", "resnet18", "--receptive-field", "hook-order")
    assert result.returncode == 0, result.stderr
    assert "hook order (the 2020 convention; wrong where branches join)" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["Conv2d-46", "-1,512,4,4", "2,359,296", "473", "64"] in rows
    assert ["ResNet-50", "-1,10", "0", "0", "0"] in rows


def test_a_terminal_gets_a_table_that_fits_it(
    tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "70")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = ask(capsys, tiny)
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 70
    assert re.search(r"0 \(Conv2d\) +4 x 16 x 16 +112 +27\.6k +3 x 3 +2 +-1 +0\.9%", plain)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3\dm", ask(capsys, tiny))


def test_json_is_the_record_that_was_agreed(capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(capsys, "resnet18")
    assert set(told) >= {"layers", "total_params", "trainable_params", "macs", "findings", "assumptions"}
    assert told["model"] == "resnet18"
    assert told["input_size"] == [3, 32, 32]
    assert told["receptive_field_method"] == "exact"
    assert told["receptive_field"] == "global"
    assert told["last_local"]["receptive_field"] == [109, 109]
    assert told["verified"] is None
    first = told["layers"][1]
    assert {key: first[key] for key in ("name", "type", "output_shape", "params", "receptive_field", "jump")} == {
        "name": "conv1",
        "type": "Conv2d",
        "output_shape": [1, 64, 32, 32],
        "params": 1728,
        "receptive_field": [3, 3],
        "jump": [1, 1],
    }
    assert json.loads(ask(capsys, "resnet18", output_format="json")) == told
    assert figures(capsys, "resnet18", depth=1) == told


@pytest.mark.parametrize(
    ("size", "expected"),
    [("3,32,32", [3, 32, 32]), ("1x28x20", [1, 28, 20]), ("3, 8, 9", [3, 8, 9]), ("224", [3, 224, 224])],
)
def test_an_input_size_can_be_written_as(
    size: str, expected: list[int], tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = figures(capsys, tiny, input_size=size, classes=7, batch_size=5)
    assert told["input_size"] == expected
    assert told["layers"][0]["output_shape"] == [5, 7]
    assert told["layers"][1]["params"] == 4 * 9 * expected[0] + 4
    assert told["batch_size"] == 5


def test_a_run_brings_its_own_classes_and_size(finished_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(capsys, finished_run.path)
    record = json.loads(finished_run.model.read_text())
    assert told["model"] == "resnet20"
    assert told["input_size"] == [3, 16, 16]
    assert told["layers"][0]["output_shape"] == [1, len(record["classes"])]
    assert figures(capsys, finished_run.path, input_size="32")["input_size"] == [3, 32, 32]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 3}, "--classes: 3 contradicts the run, which has "),
        ({"input_size": "1,16,16"}, "--input-size: 1 channels contradict the run, whose images have 3"),
    ],
)
def test_what_contradicts_a_run_is_refused(options: dict[str, Any], message: str, finished_run: Run) -> None:
    with pytest.raises(ConfigError, match=message):
        summary(str(finished_run.path), **options)


def test_depth_folds_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ask(capsys, "resnet18", depth=1).splitlines()
    rows = {line.split()[0]: re.split(r" {2,}", line.strip()) for line in lines if line.startswith("  ")}
    assert list(rows) == ["conv1", "bn1", "relu1", "layer1", "layer2", "layer3", "layer4", "pool", "linear"]
    assert rows["layer4"][1:5] == ["512 x 4 x 4", "8,393,728", "134M", "109 x 109"]


def test_markdown_and_html_are_pages_alone(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = ask(capsys, tiny, output_format="markdown")
    assert "| &nbsp;&nbsp;0 (Conv2d) | 4 x 16 x 16 | 112 | 27.6k | 3 x 3 | 2 | -1 | 0.9% |" in page
    page = ask(capsys, tiny, output_format="html")
    assert page.startswith("<div")
    assert "<td>4 x 16 x 16</td>" in page


def test_verify_says_so(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, tiny, is_to_verify=True).splitlines()[-1].startswith("verified: ")
    assert figures(capsys, tiny, is_to_verify=True)["verified"] is True


def test_a_field_that_gradients_deny_ends_with_1(
    tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denied(SimpleNamespace):
        mismatch = "0 (Conv2d) at (0, 0) sees 0..2, by the gradient 0..4"

        def __str__(self) -> str:
            return f"differs: {self.mismatch}"

    monkeypatch.setattr("visionlib.summary.verify.verify", lambda model, size: Denied())
    with pytest.raises(typer.Exit) as ended:
        summary(tiny, is_to_verify=True, json=True)
    captured = capsys.readouterr()
    assert ended.value.exit_code == 1
    assert json.loads(captured.out)["verified"] is False
    assert captured.err == f"{Denied()}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["resnet17"], 2, "resnet17: there is no built-in model of this name; choose from resnet18"),
        (["resnet18", "--input-size", "0"], 2, "--input-size: '0' is no size of an image; write it like 3,32,32"),
        (["resnet18", "--json", "--format", "html"], 2, "--format: html contradicts --json"),
        (["resnet18", "--format", "yaml"], 2, "'yaml' is not one of 'text', 'markdown', 'json', 'html'"),
        (["resnet18", "--receptive-field", "exakt"], 2, "'exakt' is not one of 'exact', 'hook-order'"),
        (["resnet18", "--receptive-field", "hook-order", "--depth", "1"], 2, "--depth: does not go with hook order"),
        (["resnet18", "--depth", "-1"], 2, "Invalid value for '--depth'"),
    ],
)
def test_errors_are_one_line_on_stderr(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    result = visionlib("summary", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("./nope", {}, "nope: there is no such run folder"),
        (".", {}, "is no run, it has no config.json"),
        ("no_such_module:build", {}, "no_such_module:build: there is no module no_such_module"),
        ("resnet18", {"input_size": "3,32"}, "does not run on 1x3x32"),
        ("resnet18", {"input_size": "3,,32"}, "--input-size: '3,,32' is no size of an image"),
        ("resnet18", {"input_size": "1,2,3,4,5"}, "--input-size: '1,2,3,4,5' is no size of an image"),
        (
            "resnet18",
            {"receptive_field": "hook-order", "is_to_verify": True},
            "--verify: hook order is no more than a convention; verify the exact table",
        ),
    ],
)
def test_an_error_says_what_is_wrong(model: str, options: dict[str, Any], message: str, tiny: str) -> None:
    with pytest.raises(VisionlibError, match=re.escape(message)):
        summary(model, **options)


def test_pictures_are_saved_where_they_are_wanted(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, tiny, plot=tmp_path / "fields.png").startswith(tiny)
    assert (tmp_path / "fields.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_run_really_looks_at(
    finished_run: Run,
    small_shapes: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("visionlib.evaluation.effective_fields.load_run_data", lambda run, dataset: small_shapes)
    told = ask(capsys, finished_run.path, effective=True, images=5, depth=0, plot=tmp_path / "looks.svg")
    assert "effective receptive field of layer3, 5 test images" in told
    assert "std" in told
    assert "layer3" in (tmp_path / "looks.svg").read_text()
    record = figures(capsys, finished_run.path, effective=True, images=5)["effective"]
    assert record["after"]["sides"].keys() == {"50%", "90%", "95%", "99%"}
    assert record["before"]["layer"] == "layer3"


def test_effective_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--effective: resnet18 is no run folder; name one that visionlib train has"):
        summary("resnet18", effective=True)
    with pytest.raises(ConfigError, match=r"looks\.gif: is no picture by its name"):
        summary("resnet18", plot=tmp_path / "looks.gif")
