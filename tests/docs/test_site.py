"""The pages that the site is built from, and the check that it fetches nothing; `make docs` builds it."""

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def site_build(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(project_root / "docs")
    import site_build

    return site_build


def test_pages_of_both_places_link_to_each_other_in_one_folder(site_build: ModuleType, tmp_path: Path) -> None:
    pages = {
        "docs/first.md": "# The first\n[second.md](second.md#there), [x](../SECURITY.md)\n![p](pictures/p.png)",
        "docs/second.md": "# The second\n[this page](first.md) and [docs](second.md)",
        "docs/make.py": "",
        "docs/pictures/p.png": "picture",
        "notebooks/n.ipynb": "{}",
        "notebooks/n.py": "",
        "CHANGELOG.md": "# Changelog\n",
        "CONTRIBUTING.md": "# Contributing\n[docs/first.md](docs/first.md), [guide](docs/second.md)",
        "SECURITY.md": "# Security\n",
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    place = tmp_path / "build" / "pages"
    (place / "left").mkdir(parents=True)
    site_build.stage_pages(tmp_path, place)
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()) == [
        *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        *("first.md", "notebooks/n.ipynb", "pictures/p.png", "second.md"),
    ]
    expected = "# The first\n[The second](second.md#there), [x](SECURITY.md)\n![p](pictures/p.png)"
    assert (place / "first.md").read_text() == expected
    assert (place / "second.md").read_text() == pages["docs/second.md"]
    assert (place / "CONTRIBUTING.md").read_text() == "# Contributing\n[The first](first.md), [guide](second.md)"


@pytest.mark.parametrize(
    ("text", "is_fetched"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<script src=//cdn.example/x.js></script>", True),
        ('<link rel="stylesheet" href="https://fonts.example/css">', True),
        ('<link href="https://fonts.example" rel=preconnect>', True),
        ('<img alt="a" src="http://example/p.png">', True),
        ("<style>@import 'https://example/x.css';</style>", True),
        ("<style>p { background: url(https://example/p.png) }</style>", True),
        ('<a href="https://arxiv.org/abs/1512.03385">paper</a>', False),
        ('<script src="assets/x.js"></script><img src="pictures/p.png">', False),
        ('<link rel="canonical" href="https://example/">', False),
        ("<p>see https://example/x.js</p>", False),
    ],
)
def test_what_a_page_would_fetch_is_found(text: str, is_fetched: bool, site_build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.html").write_text(text)
    assert len(site_build.find_fetched(tmp_path)) == is_fetched
