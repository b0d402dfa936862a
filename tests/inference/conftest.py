"""A copy of the finished run, whose files a test may change."""

import shutil
from pathlib import Path

import pytest

from visionlib.runs import Run


@pytest.fixture
def copied_run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")
