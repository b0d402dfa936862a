"""What trainings in several processes start from."""

from pathlib import Path

import pytest

from tests.training.launching import fill_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module of networks, and 78 images."""
    folder = tmp_path_factory.mktemp("folder")
    fill_folder(folder)
    return folder
