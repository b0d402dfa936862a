"""Run folders: opened where there is one, and made where there is none."""

import errno
from pathlib import Path
from typing import Any

import pytest

from visionlib.errors import RunError
from visionlib.inference.load import find_run
from visionlib.models.initial_weights import open_weights
from visionlib.runs import Run, create_run, open_run, read_history, read_training, write_json, write_json_lines


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


def test_a_folder_that_this_user_may_not_look_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may look everywhere, and so the system's answer is given by hand."""
    write_json(Run(tmp_path).config, {})

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    for open_it in (open_run, find_run, open_weights, create_run):
        with pytest.raises(RunError, match=r"cannot be read \(Permission denied\); give yourself the right to read it"):
            open_it(tmp_path)


def test_a_name_that_no_file_can_have_is_told() -> None:
    for open_it in (open_run, find_run, open_weights):
        with pytest.raises(RunError, match=r"cannot be read \(File name too long\)") as caught:
            open_it("n" * 300)
        assert caught.value.exit_code == 2


def test_a_run_names_its_files_as_the_documentation_does() -> None:
    run = Run(Path("r"))
    documented = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    for name in (
        *("config.json", "corrections.json", "history.jsonl", "history.png", "tensorboard", "model.safetensors"),
        *("model.json", "summary.json", "report.html", "evaluation.json", "stress.json", "groups.json"),
        *("inspection", "explanations", "resume.pt", "training.json", "predictions.npz", "validation.npz"),
    ):
        paths = {value for value in (getattr(run, key) for key in dir(Run) if key[0] != "_") if isinstance(value, Path)}
        assert Path("r", name) in paths
        assert f"`{name}" in documented
    assert {run.lock.name, *(file.name for file in run.trained_files)} >= {".writer.lock", "config.json"}
    assert run.trained_files[-1] == run.training


EPOCH = {
    "epoch": 1,
    "resolution_px": 32,
    "learning_rate": 0.1,
    "loss": 1.0,
    "training_accuracy": 0.5,
    "seconds": 1.0,
    "images_per_second": 10.0,
    "validation_accuracy": None,
    "test_accuracy": None,
    "test_n": None,
}


def test_a_run_without_the_record_of_a_training_has_none(tmp_path: Path) -> None:
    assert read_training(Run(tmp_path)) is None
    write_json(Run(tmp_path).training, {})
    with pytest.raises(RunError, match=r"training\.json: is damaged \(.* is missing\)"):
        read_training(Run(tmp_path))


def test_a_history_is_read_in_the_order_of_its_epochs(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_json_lines(run.history, [EPOCH, {**EPOCH, "epoch": 2}])
    assert [record.epoch for record in read_history(run)] == [1, 2]
    write_json_lines(run.history, [{**EPOCH, "epoch": 2}, EPOCH])
    with pytest.raises(RunError, match=r"history\.jsonl: is damaged \(its epochs are not 1, 2, 3 \.\.\.\)"):
        read_history(run)
    write_json_lines(run.history, [EPOCH, {**EPOCH, "epoch": "two"}])
    with pytest.raises(RunError, match=r"history\.jsonl: is damaged \(line 2\.epoch is 'two', and must be"):
        read_history(run)
