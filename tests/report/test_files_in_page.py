"""The page names the file of each image: as text alone, within the folder of the data, and to search by."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.data.opening import ODD_NAMES
from tests.report.runs import make_run
from visionlib.data import Dataset
from visionlib.data.shapes import load_shapes
from visionlib.data.sources import Sources
from visionlib.inference.run_sources import save_sources
from visionlib.report import write_report
from visionlib.report.report import Report
from visionlib.runs import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

N = 40
NAMES = [f"test/{'ab'[at % 2]}/{ODD_NAMES[at] if at < len(ODD_NAMES) else f'img_{at}.png'}" for at in range(N)]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Dataset]:
    data = load_shapes(n_train=20, n_test=N, image_size=16)
    data = replace(data, splits={**data.splits, "test": replace(data.test, sources=Sources.of_files(NAMES))})
    run = make_run(tmp_path_factory.mktemp("named") / "run", data, share_right=0.5, is_whole=False)
    save_sources(run, data)
    return run, data


@pytest.fixture(scope="module")
def report(named: tuple[Run, Dataset]) -> Report:
    return write_report(named[0], dataset=named[1])


def test_names_are_embedded_by_folder_and_the_page_is_utf_8(report: Report) -> None:
    page = report.path.read_bytes().decode("utf-8")
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    sources = json.loads(text[1])["sources"]
    assert sources["folders"] == ["test/a/", "test/b/"] or len(sources["folders"]) <= 4
    assert set(sources["names"]) >= {"img_39.png", "caf\\xe9.png", "line\\nbreak.png", "größe 猫.png"}
    assert "<script>window" not in page


def test_they_can_be_left_out(named: tuple[Run, Dataset], tmp_path: Path) -> None:
    bare = write_report(named[0], dataset=named[1], out=tmp_path / "bare.html", with_files=False)
    page = bare.path.read_text(encoding="utf-8")
    assert "img_39.png" not in page
    assert 'id="filter-file"' not in page


@pytest.mark.browser
def test_a_file_is_found_and_shown_as_text(page: "Page", report: Report) -> None:
    page.goto(report.path.resolve().as_uri() + "#kind=all")
    page.wait_for_selector("html[data-is-ready]", state="attached")
    page.locator("#filter-file").fill("B/IMG_39")
    thumb = page.locator("#gallery .thumb")
    assert thumb.count() == 1
    assert thumb.get_attribute("data-index") == "39"
    assert str(thumb.get_attribute("title")).endswith("\ntest/b/img_39.png")
    page.locator("#filter-file").fill("<script>")
    thumb.click()
    assert page.locator("#drawer .facts .file").inner_text() == f"test/a/{ODD_NAMES[4]}"
    assert page.evaluate("() => window.isHacked") is None
    assert page.locator("main script, #drawer script").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
