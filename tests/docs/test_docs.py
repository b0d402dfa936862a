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

import visionlib
from visionlib.cli.app import app
from visionlib.data import Dataset
from visionlib.evaluation import evaluate
from visionlib.inspection import inspect_dataset
from visionlib.models import build_model
from visionlib.runs import Run, read_json
from visionlib.summary import summarize


@pytest.fixture
def make(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(project_root / "docs")
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
        *(project_root / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
        *sorted((project_root / "docs").glob("*.md")),
    ]


def _links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each relative link and picture of a page, outside code."""
    text = re.sub(r"^( {4}|```).*?$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    targets = re.findall(r"\]\(([^)]+)\)|<img src=\"([^\"]+)\"", text)
    found = [(first or second).partition("#") for first, second in targets]
    return [(path, anchor) for path, _, anchor in found if not path.startswith("https://")]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs and GitHub name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_link_picture_and_anchor_leads_somewhere(project_root: Path) -> None:
    links = [(page, *link) for page in _pages(project_root) for link in _links(page)]
    assert sum(bool(anchor) for _, _, anchor in links) > 10
    for page, path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {path}"
        assert not anchor or anchor in _anchors(target), f"{page.name} links to {path}#{anchor}"


def test_the_navigation_lists_every_page_once(project_root: Path) -> None:
    navigation = (project_root / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    sections = re.findall(r"^  - (.+):$", navigation, re.MULTILINE)
    assert sections == ["Start", "Guides", "Understand", "Reference", "Evidence", "Project"]
    listed = re.findall(r"^ {6}- (\S+)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in _pages(project_root) if page.name != "README.md")


def test_the_first_page_links_to_every_other_page(project_root: Path) -> None:
    linked = {path for path, _ in _links(project_root / "docs" / "index.md")}
    assert {page.name for page in (project_root / "docs").glob("*.md")} - linked == {"index.md"}


def test_the_readme_is_short_and_shows_the_way(project_root: Path) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 500
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["Install", "Two commands", "Your own folder", "Your own network", "Read on"]


def test_every_command_line_in_the_docs_can_be_parsed(project_root: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [
        line.partition(" #")[0].partition("visionlib ")[2].strip()
        for page in _pages(project_root)
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r" {4}(.*\| )?visionlib ", line)
    ]
    assert len(lines) > 50
    for line in lines:
        name, *arguments = shlex.split(line)
        if name == "--version":
            continue
        assert name in commands, line
        commands[name].make_context(name, arguments)


def test_every_command_and_option_named_in_the_docs_exists(project_root: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = [
        (page.name, *words.split())
        for page in _pages(project_root)
        for words in re.findall(r"`visionlib\s+([a-z-]+[^`]*)`", page.read_text(encoding="utf-8"))
        if page.name != "CHANGELOG.md"
    ]
    assert len(named) > 50
    for page_name, name, *words in named:
        assert name in commands, f"{page_name}: visionlib {name}"
        options = {spelling for option in commands[name].params for spelling in (*option.opts, *option.secondary_opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
        assert used <= options, f"{page_name}: visionlib {name} has no {used - options}"


def test_the_python_page_has_every_public_name(project_root: Path) -> None:
    page = (project_root / "docs" / "python.md").read_text(encoding="utf-8")
    paths = re.findall(r"^::: (visionlib\.[\w.]+)$", page, re.MULTILINE)
    assert sorted(path.rpartition(".")[2] for path in paths) == sorted(set(dir(visionlib)) - {"__version__"})
    for path in paths:
        name = path.rpartition(".")[2]
        place = project_root / "visionlib" / getattr(visionlib, name).__module__.split(".")[1] / name
        # Read without running it, `visionlib.load` would be the module of that name.
        is_ambiguous = place.is_dir() or place.with_suffix(".py").is_file()
        assert (path != f"visionlib.{name}") == is_ambiguous, path


def test_json_has_the_fields_that_its_page_promises(
    finished_run: Run, small_shapes: Dataset, project_root: Path
) -> None:
    page = (project_root / "docs" / "json.md").read_text(encoding="utf-8")
    promised = {
        row: set(re.findall(r"`(\w+)`", fields))
        for row, fields in re.findall(r"^\| (`.*?) \| (.*) \|$", page, re.MULTILINE)
    }
    table = summarize(build_model("resnet20"), name="resnet20").to_dict()
    scores = evaluate(finished_run).to_dict()
    data = {**inspect_dataset(small_shapes).to_dict(), "warnings": []}  # which the command adds, see tests/cli
    trained = {"run": "", **read_json(finished_run.training)}
    given = {
        "`summary`": table,
        "`summary`, each of `layers`": table["layers"][0],
        "`data`": data,
        "`data`, each of `splits`": data["splits"]["test"],
        "`train`": trained,
        "`test`": scores,
        "`test`, each of `per_class`": scores["per_class"][0],
    }
    for row, record in given.items():
        assert len(promised[row]) > 3
        assert promised[row] <= set(record), row


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
