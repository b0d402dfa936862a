import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import visionlib
from visionlib.version import __version__


def test_importing_the_library_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, visionlib, visionlib.cli.app\n"
        "print([m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert {"train", "Dataset", "__version__"} <= set(dir(visionlib))
    for name in dir(visionlib):
        assert getattr(visionlib, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No visionlib attribute trian"):
        visionlib.trian  # type: ignore[attr-defined]  # noqa: B018


def test_architecture_docstring_and_contract_have_the_same_map(project_root: Path) -> None:
    """The import-linter contract lists the layers from right to left."""
    contract = tomllib.loads((project_root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [layer.replace("(", "").replace(")", "").split(" | ") for layer in reversed(contract["layers"])]
    expected = [[name for name in layer if name != "version"] for layer in layers]
    page = (project_root / "docs" / "architecture.md").read_text(encoding="utf-8")
    for text in (page, visionlib.__doc__ or ""):
        drawn = re.search(r"errors \| progress <-.*?<- cli", text, re.DOTALL)
        assert drawn is not None
        assert [layer.split(" | ") for layer in " ".join(drawn[0].split()).split(" <- ")] == expected
    table = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", page, re.MULTILINE)
    assert sorted(table) == sorted(name for layer in expected for name in layer)
    folders = {path.stem for path in (project_root / "visionlib").iterdir() if path.suffix in {"", ".py"}}
    assert set(table) == folders - {"__init__", "__main__", "__pycache__", "version"}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_guide_to_the_code_names_exist(page: str, project_root: Path) -> None:
    named = re.findall(r"`([\w/]+(?:\.py|/))`", (project_root / page).read_text())
    assert len(named) > 10
    places = (project_root, project_root / "visionlib")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_citation_has_the_version(project_root: Path) -> None:
    assert f"version: {__version__}\n" in (project_root / "CITATION.cff").read_text()


def test_the_lowest_versions_are_those_of_the_ranges(project_root: Path) -> None:
    ranges = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = (project_root / "constraints-lowest.txt").read_text().splitlines()[2:]
    expected = [entry.replace("[progress]", "").replace(">=", "==") for entry in ranges]
    assert [re.sub(r"(\.0)+$", "", pin) for pin in pins] == [re.sub(r"(\.0)+$", "", pin) for pin in expected]
