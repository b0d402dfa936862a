"""What the docs say is what the library does."""

import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from visionlib.cli.app import app
from visionlib.evaluation import evaluate
from visionlib.runs import Run, read_json


@pytest.fixture
def make(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", project_root / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_commands_page_is_what_the_commands_say(make: ModuleType, project_root: Path) -> None:
    written = (project_root / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == make.commands_page(), "run `make docs`"


def test_the_demos_figures_are_written_into_its_rows_alone(
    make: ModuleType, project_root: Path, finished_run: Run, tmp_path: Path
) -> None:
    names = ("README.md", "docs/results.md")
    (tmp_path / "docs").mkdir()
    for name in names:
        shutil.copyfile(project_root / name, tmp_path / name)
    make.write_demo_figures(finished_run, evaluate(finished_run), tmp_path)
    score = read_json(finished_run.evaluation)["accuracy"]
    for name in names:
        before, after = ((root / name).read_text().splitlines() for root in (project_root, tmp_path))
        changed = [new for old, new in zip(before, after, strict=True) if old != new]
        assert len(changed) == 1
        assert changed[0].startswith("| `make demo`")
        assert f"{100 * score:.2f}" in changed[0]
        assert changed[0].count("|") == after[after.index(changed[0]) - 1].count("|")


def _pages(project_root: Path) -> list[Path]:
    return [
        *(project_root / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *sorted((project_root / "docs").glob("*.md")),
    ]


def test_every_link_and_picture_leads_somewhere(project_root: Path) -> None:
    links = [
        (page, target)
        for page in _pages(project_root)
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if not target.startswith("https://")
    ]
    assert len(links) > 10
    for page, target in links:
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_line_in_the_docs_can_be_parsed(project_root: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [
        line.partition("#")[0].strip()
        for page in _pages(project_root)
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("    visionlib ")
    ]
    assert len(lines) >= 6
    for line in lines:
        name, *arguments = shlex.split(line)[1:]
        assert name in commands, line
        commands[name].make_context(name, arguments)


def test_every_make_target_that_the_docs_name_exists(project_root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (project_root / "Makefile").read_text(), re.MULTILINE))
    for page in _pages(project_root):
        named = re.findall(r"`make ([a-z]+)`|^    make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert {first or second for first, second in named} <= targets, page.name


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (project_root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"\d+\.\d% of 2000", capsys.readouterr().out)


def test_every_import_in_the_docs_resolves(project_root: Path) -> None:
    imports = [
        (page.name, module, name.strip().partition(" as ")[0])
        for page in _pages(project_root)
        for block in re.findall(r"```(?:python)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for module, names in re.findall(r"^from (visionlib[\w.]*) import ([\w, ]+)$", block, re.MULTILINE)
        for name in names.split(",")
    ]
    assert len(imports) > 10
    for page_name, module, name in imports:
        assert hasattr(importlib.import_module(module), name), f"{page_name}: {module} has no {name}"
