"""The start page, followed literally: its commands, one after the other, in a new environment and on a new folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

TEN_MINUTES_S = 600
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "constraints.txt", "visionlib")


def read_commands(page: Path) -> list[str]:
    """The commands of a page: its indented lines, without drawings of folders, and with `#` only in comments."""
    lines = re.findall(r"^ {4}(\S.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [line for line in lines if not line.endswith("/")]


def test_the_page_has_the_commands_from_an_empty_environment_to_the_report(project_root: Path) -> None:
    commands = read_commands(project_root / "docs" / "start.md")
    assert commands[:3] == ["python3 -m venv .venv", ". .venv/bin/activate", "pip install -c constraints.txt ."]
    named = [command.split()[1] for command in commands[3:]]
    assert named == ["--version", "data", "train", "test", "report", "predict"]


@pytest.mark.slow
def test_the_page_leads_to_a_report_within_ten_minutes(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project_root / "docs")
    from terminal import write_photographs

    for name in SOURCES:
        copy = shutil.copytree if (project_root / name).is_dir() else shutil.copyfile
        copy(project_root / name, tmp_path / name)
    write_photographs(tmp_path / "photographs", train=20, test=5)
    create, *others = read_commands(project_root / "docs" / "start.md")
    # The packages come from this environment instead of an index, before those of the new one: no network is needed.
    here = sysconfig.get_path("purelib")
    lend = f'echo "import sys; sys.path.insert(0, {here!r})" > $(echo .venv/lib/*/site-packages)/lent.pth'
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as: no isolation
        "HOME": str(tmp_path / "home"),
    }
    ignored = {"PYTHONPATH", "VIRTUAL_ENV"}
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-e"],
        input="\n".join([create, lend, *others]),
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ignored} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < TEN_MINUTES_S
    (installed,) = (tmp_path / ".venv" / "lib").glob("*/site-packages/visionlib/__init__.py")
    assert installed.is_file()
    assert "circle" in done.stdout
    assert (tmp_path / "runs" / "first" / "report.html").stat().st_size > 100_000
    assert f"file://{tmp_path}" in done.stdout + done.stderr
    assert "IMG_004.jpg" in done.stdout.split("probability")[-1]
