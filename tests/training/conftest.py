"""What trainings in several processes start from, and interrupts."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.launching import fill_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module of networks, and 78 images."""
    folder = tmp_path_factory.mktemp("folder")
    fill_folder(folder)
    return folder


@pytest.fixture(autouse=True)
def interrupts_arrive() -> Iterator[None]:
    """Listen to interrupts even where the shell that runs the tests, in its background, has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
