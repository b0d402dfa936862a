"""The page's size and times, of a test split of 10,000 images."""

import time
from typing import TYPE_CHECKING

import pytest

from tests.report.runs import make_run
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.report import write_report
from visionlib.runs import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def large_data() -> Dataset:
    return load_shapes(n_train=2000, n_test=10_000, image_size=32)


@pytest.fixture(scope="module")
def large_run(large_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("large") / "run", large_data, share_right=0.88)


@pytest.mark.browser
@pytest.mark.parametrize(("is_full", "most_mb"), [(False, 2.0), (True, 6.0)])
def test_a_page_of_10_000_images_is_small_and_opens_fast(
    page: "Page", large_run: Run, large_data: Dataset, is_full: bool, most_mb: float
) -> None:
    started = time.process_time()
    report = write_report(large_run, dataset=large_data, is_full=is_full)
    assert time.process_time() - started < 20
    assert report.size_bytes <= most_mb * 1e6
    opened = []
    for _ in range(3):
        page.goto("about:blank")
        started = time.perf_counter()
        page.goto(report.path.resolve().as_uri())
        page.wait_for_selector("html[data-is-ready]", state="attached")
        opened.append(time.perf_counter() - started)
    assert min(opened) < 1.5
    page.locator("#matrix button").nth(1).click()
    assert page.locator("#gallery .tile.none").count() == 0
