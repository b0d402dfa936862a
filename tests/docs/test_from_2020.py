"""The page for users of the 2020 library: every function has a successor, and its code runs."""

import re
from pathlib import Path
from typing import Any

import pytest

import visionlib
from visionlib.data import Dataset
from visionlib.training import TrainConfig

FUNCTIONS = {
    "loaddata",
    "train",
    "test",
    "summary",
    "getclassvalidationAccuracy",
    "view_misclassified_images",
    "LRFinder",
    "plot_train_vs_test_accuracy",
    "one_Cycle_lr",
    "GradCAM",
}


@pytest.fixture
def page(project_root: Path) -> str:
    return (project_root / "docs" / "from-2020.md").read_text(encoding="utf-8")


def test_every_function_has_a_section_with_code(page: str) -> None:
    sections = re.findall(r"^## (\S+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in sections} == FUNCTIONS
    assert all("```python\n" in text for _, text in sections)
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == FUNCTIONS
    anchors = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert anchors == {name.lower() for name in FUNCTIONS}


def test_the_code_runs_from_top_to_bottom(
    page: str,
    small_shapes: Dataset,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The same code on little data: names stand for a small drawn set and a small network.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(visionlib, "load_dataset", {"cifar10": small_shapes}.__getitem__, raising=False)
    monkeypatch.setattr(visionlib, "recipe_config", {"quick": small_config}.__getitem__, raising=False)
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, "from-2020.md", "exec"), names)
    printed = capsys.readouterr().out
    assert all(f"{entry.name} {entry.accuracy} {entry.n}\n" in printed for entry in names["evaluation"].per_class)
    assert names["evaluation"].n == 70
    assert names["config"].test_every == 1
    assert names["run"].path.parent == Path("runs")
    assert len(names["mistakes"]) == 70 - names["evaluation"].correct
    confident = int(names["mistakes"].is_confident.sum())
    shown = min(confident, 25) + min(len(names["mistakes"]) - confident, 25)
    assert len(names["figure"].axes[0].images) == shown
