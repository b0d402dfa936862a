"""What many tests start from: a small drawn dataset, one finished run on it, and a browser that reports complaints."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the process that only hands out tests to others needs none of it, and they wait for that one
    from playwright.sync_api import Browser, Dialog, Page, Request

    from visionlib.data import Dataset
    from visionlib.runs import Run
    from visionlib.training import TrainConfig

gc.disable()  # while tests are collected, which leaves no garbage


def pytest_collection_finish() -> None:
    """Collect garbage of the tests alone: looking through all that was imported takes half a second each time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Weights and images that a test draws are the same at every run, whatever ran before."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs are signed under a key of the tests, and the user's data folder stays as it is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VISIONLIB_KEYS", str(tmp_path_factory.mktemp("keys")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _light_files() -> Iterator[None]:
    """Files are not forced onto the disk, and the curves of a training, which are drawn as ever, are not rendered.

    That would be a third of the time of a small training. Commands run in processes of their own, where both happen.
    """
    import torch

    from tests.data.containers import encode

    blank = encode(torch.zeros(3, 4, 4, dtype=torch.uint8))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        patched.setattr("visionlib.training.history_picture.encode_figure", lambda *_: blank)
        yield


@pytest.fixture(scope="session")
def small_shapes() -> "Dataset":
    """200 images to learn from and 70 to test on, which no batch size used in the tests divides."""
    from visionlib.data.shapes import load_shapes

    return load_shapes(n_train=200, n_test=70, image_size=16)


@pytest.fixture(scope="session")
def small_config() -> "TrainConfig":
    """Two epochs of the smallest network, in fp32 so that every machine agrees."""
    from visionlib.training import TrainConfig

    return TrainConfig(model="resnet20", epochs=2, batch_size=64, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def finished_run(
    small_shapes: "Dataset", small_config: "TrainConfig", tmp_path_factory: pytest.TempPathFactory
) -> "Run":
    """A finished run; tests that change its files copy it first."""
    from visionlib.training import train

    return train(small_shapes, small_config, out=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def project_root() -> Path:
    return Path(__file__).parent.parent


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
