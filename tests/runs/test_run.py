"""Run folders: opened where there is one, and made where there is none."""

from pathlib import Path
from typing import Any

import pytest

from visionlib.errors import RunError
from visionlib.runs import Run, create_run, open_run, write_json


def test_a_run_opens_only_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such run folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match=r"is no run, it has no config\.json"):
        open_run(tmp_path)
    write_json(Run(tmp_path).config, {})
    assert open_run(tmp_path) == Run(tmp_path)


def test_a_new_run_takes_no_folder_that_holds_something(tmp_path: Path) -> None:
    assert create_run(tmp_path / "deep" / "run").path.is_dir()
    (tmp_path / "deep" / "run" / "mine.txt").touch()
    with pytest.raises(RunError, match="exists and is not empty; choose another folder with --out"):
        create_run(tmp_path / "deep" / "run")
    with pytest.raises(RunError, match="cannot be made"):
        create_run(tmp_path / "deep" / "run" / "mine.txt" / "run")


def test_a_notebook_shows_the_picture_once_it_is_drawn(tmp_path: Path) -> None:
    run: Any = Run(tmp_path)
    assert run._repr_png_() is None
    run.history_picture.write_bytes(b"picture")
    assert run._repr_png_() == b"picture"
