"""Runs and their pages, made once; and a browser that must have nothing to complain about."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.report.runs import HOSTILE, make_run, rename
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.report import Report, write_report
from visionlib.runs import Run, read_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Request


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


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    chromium = Path("/usr/bin/chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    if not chromium.exists():
        pytest.skip("there is no /usr/bin/chromium")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        found = started.chromium.launch(executable_path=chromium, args=arguments)
        yield found
        found.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page on which an error, a dialog, or a request for anything but the file itself fails the test."""
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(10_000)
    opened.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))

    def refuse(dialog: "Dialog") -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def note(request: "Request") -> None:
        if not (request.url.startswith(("data:", "blob:")) or request.is_navigation_request()):
            complaints.append(f"request: {request.url}")

    opened.on("dialog", refuse)
    opened.on("request", note)
    yield opened
    opened.close()
    assert not complaints
