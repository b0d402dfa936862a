"""The settings as options: each in one panel of the help, the common ones shown first."""

import dataclasses

import pytest
from typer.main import get_command

from tests.cli.processes import visionlib
from visionlib.cli.app import app
from visionlib.cli.settings import PANELS
from visionlib.training import TrainConfig

COMMON, *OTHERS = PANELS.values()


def test_every_setting_is_in_one_panel() -> None:
    names = [name for panel in PANELS.values() for name in panel]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(TrainConfig))


@pytest.mark.parametrize("command", ["train", "lr-find"])
def test_help_hides_all_settings_but_the_common_ones(command: str) -> None:
    options = get_command(app).commands[command].params  # type: ignore[attr-defined]
    hidden = {option.name for option in options if option.hidden}
    assert hidden == {name for panel in OTHERS for name in panel}
    assert set(COMMON) <= {option.name for option in options}


def test_help_all_shows_every_setting() -> None:
    result = visionlib("train", "--help-all")
    assert result.returncode == 0
    words = result.stdout.replace("│", " ").split()
    assert [name for panel in PANELS.values() for name in panel if f"--{name.replace('_', '-')}" not in words] == []


def test_a_hidden_setting_is_taken_all_the_same() -> None:
    result = visionlib("train", "shapes", "--hue", "2")
    assert result.returncode == 2
    assert result.stderr.startswith("error: hue: 2.0 is out of range")
