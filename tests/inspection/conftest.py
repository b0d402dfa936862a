"""A run that has learned a little dataset well, in a second or two."""

import shutil
from pathlib import Path

import pytest

from tests.inspection.planted import striped_dataset
from visionlib.data import Dataset
from visionlib.runs import Run
from visionlib.training import TrainConfig, train

EASY = TrainConfig(
    model="resnet20", epochs=4, batch_size=32, peak_learning_rate=0.05, crop_px=0, device="cpu", precision="fp32"
)


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    return striped_dataset()


@pytest.fixture(scope="session")
def learned_run(stripes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run; tests that write into it take `copied_run`."""
    return train(stripes, EASY, out=tmp_path_factory.mktemp("runs") / "learned")


@pytest.fixture
def copied_run(learned_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(learned_run.path, tmp_path / "run")
    return Run(tmp_path / "run")
