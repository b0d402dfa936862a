"""Notebooks and the scripts they are paired with, read without Jupyter."""

import json
import re
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def notebooks() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def read_notebook(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def notebook_cells(path: Path) -> list[tuple[str, str]]:
    """Kind and text of each cell of a notebook."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in read_notebook(path)["cells"]]


def script_cells(path: Path) -> list[tuple[str, str]]:
    """Kind and text of each cell of a script in the percent format, as a notebook holds them."""
    text = path.read_text(encoding="utf-8")
    cells = []
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        mark, _, body = part.partition("\n")
        body = body.strip("\n")
        if mark.strip() == "[markdown]":
            cells.append(("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE)))
        else:
            # A magic command is no Python, and stands in the script as a comment.
            cells.append(("code", re.sub(r"^# (?=%)", "", body, flags=re.MULTILINE)))
    return cells
