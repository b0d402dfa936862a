"""Runs and their pages, made once."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.report.runs import HOSTILE, make_run, rename
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.report import Report, write_report
from visionlib.runs import Run, read_json


@dataclass
class Written:
    """A run, its data, and its page."""

    run: Run
    data: Dataset
    report: Report
    evaluation: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.evaluation = read_json(self.run.evaluation)

    @property
    def address(self) -> str:
        return self.report.path.resolve().as_uri()


@pytest.fixture(scope="session")
def page_data() -> Dataset:
    return load_shapes(n_train=60, n_test=300, image_size=32)


@pytest.fixture(scope="session")
def written(page_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A page of 300 images with every part, beside another run."""
    folder = tmp_path_factory.mktemp("report")
    run = make_run(folder / "first", page_data)
    other = make_run(folder / "second", page_data, share_right=0.6, seed=1, is_whole=False)
    return Written(run, page_data, write_report(run, against=other, dataset=page_data))


@pytest.fixture(scope="session")
def hostile(page_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The same with class names that want to be something else."""
    data = rename(page_data, HOSTILE)
    run = make_run(tmp_path_factory.mktemp("hostile") / "<b>run", data)
    return Written(run, data, write_report(run, dataset=data))


@pytest.fixture(scope="session")
def bare(page_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A page of what a training alone leaves."""
    run = make_run(tmp_path_factory.mktemp("bare") / "run", page_data, is_whole=False)
    return Written(run, page_data, write_report(run, dataset=page_data))
