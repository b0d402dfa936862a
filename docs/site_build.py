"""The site: the pages of docs/ and those of the repository's root, built by MkDocs; nothing in it is fetched when read.

Pages link to each other as on disk, so that they can be read in a repository, too. Here those of the root come beside
those of docs/, and the links follow. `mkdocs.yml` has the navigation.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_SHIM = "https://unpkg.com/iframe-worker/shim"
"""Material's script for the search in pages on a disk, which it would fetch; docs/assets has a copy."""
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|link(?=[^>]*rel=["']?(?:stylesheet|icon|preload|preconnect)))[^>]*"""
    r"""(?:src|href)=["']?(?:https?:)?//[^>]*>|@import[^;]*//|url\(["']?(?:https?:)?//[^)]*\)"""
)


_NAMED_FILE = re.compile(r"\[(?:docs/)?([\w-]+\.md)\]\((?=\1)")
"""A link with the name of a file as its text, for which a site has titles."""


def build_site(root: Path) -> None:
    """Build the site into `root/site`, with broken links, anchors and pages outside the navigation as errors.

    Raises:
        subprocess.CalledProcessError: if a page has such an error; MkDocs has told it.
        ValueError: if a page would fetch something from elsewhere when it is read.
    """
    stage_pages(root, root / "build" / "pages")
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # docs/dependencies.md knows of Material's end
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run(build, cwd=root, env=variables, check=True)  # noqa: S603  our own command
    for page in (root / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = "../" * len(page.relative_to(root / "site").parts[1:])
        page.write_text(text.replace(_SHIM, f"{up}assets/iframe-worker.js"), encoding="utf-8")
    if fetched := find_fetched(root / "site"):
        raise ValueError(f"these pages would fetch something when they are read: {fetched}")
    shutil.rmtree(root / "build" / "pages")


def stage_pages(root: Path, place: Path) -> None:
    """Copy the pages, their pictures and the notebooks into one folder, with the links that this changes."""
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(root / "docs", place, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copytree(
        root / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns("*.py", ".ipynb_checkpoints")
    )
    for name in ROOT_PAGES:
        text = (root / name).read_text("utf-8")
        (place / name).write_text(text.replace("](docs/", "]("), encoding="utf-8")
    titles = {page.name: page.read_text("utf-8").partition("\n")[0].lstrip("# ") for page in place.glob("*.md")}
    for page in place.glob("*.md"):
        text = page.read_text("utf-8").replace("](../", "](")
        page.write_text(_NAMED_FILE.sub(lambda link: f"[{titles[link[1]]}](", text), encoding="utf-8")


def find_fetched(site: Path) -> list[str]:
    """List what pages and styles would fetch from elsewhere when they are shown; links to follow are none."""
    found = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        found += [f"{path.relative_to(site)}: {match[0]}" for match in _FETCHED.finditer(path.read_text("utf-8"))]
    return found
