"""Records for people who watch a training: test accuracy during it, TensorBoard's files, and the history."""

import sys
from pathlib import Path

import pytest

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.runs import Run, read_json, read_json_lines
from visionlib.training import TrainConfig, resume, train
from visionlib.training.tensorboard import check_tensorboard, scalar_writer


def scalars(run: Run) -> dict[str, dict[int, float]]:
    """Read TensorBoard's files with its own reader: name -> epoch -> value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.tensorboard)).Reload()
    return {name: {e.step: e.value for e in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_the_test_split_is_scored_at_an_interval_and_at_the_end(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(epochs=5, test_every=2), out=tmp_path / "run")
    history = read_json_lines(run.history)
    assert [record["test_n"] for record in history] == [None, 70, None, 70, 70]
    assert [record["test_accuracy"] is not None for record in history] == [False, True, False, True, True]
    assert history[-1]["test_accuracy"] == read_json(run.training)["test_accuracy"]
    # The accuracy after two epochs is that of a run of two epochs.
    constant = small_config.replace(epochs=4, schedule="constant", warmup_fraction=0.0, test_every=2)
    middle = train(small_shapes, constant, out=tmp_path / "long")
    short = train(small_shapes, constant.replace(epochs=2), out=tmp_path / "short")
    assert read_json_lines(middle.history)[1]["test_accuracy"] == read_json(short.training)["test_accuracy"]


def test_by_default_it_is_scored_at_the_end_only(finished_run: Run) -> None:
    history = read_json_lines(finished_run.history)
    assert [(record["test_accuracy"] is None, record["test_n"]) for record in history] == [(True, None), (False, 70)]


def test_scoring_during_training_changes_no_weight(
    finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = train(small_shapes, small_config.replace(test_every=1), out=tmp_path / "run")
    assert run.weights.read_bytes() == finished_run.weights.read_bytes()


def test_without_test_images_nothing_is_scored(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    dataset = Dataset("alone", {"train": small_shapes.train}, small_shapes.classes)
    run = train(dataset, small_config.replace(test_every=1), out=tmp_path / "run")
    assert all(record["test_accuracy"] is record["test_n"] is None for record in read_json_lines(run.history))


def test_tensorboard_and_history_agree(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    config = small_config.replace(tensorboard=True, validation_fraction=0.2, epochs=3, test_every=1)
    run = train(small_shapes, config, out=tmp_path / "run")
    charts, history = scalars(run), read_json_lines(run.history)
    for name, field in {
        "loss/training": "loss",
        "accuracy/training": "training_accuracy",
        "accuracy/held out": "validation_accuracy",
        "schedule/learning rate": "learning_rate",
        "schedule/resolution in pixels": "resolution_px",
        "speed/images per second": "images_per_second",
    }.items():
        assert charts[name] == pytest.approx({record["epoch"]: record[field] for record in history}, rel=1e-6)
    assert charts["accuracy/test"] == pytest.approx({r["epoch"]: r["test_accuracy"] for r in history[:2]}, rel=1e-6)


def test_a_resumed_run_removes_the_records_of_later_epochs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = Run(tmp_path)
    with scalar_writer(run, 0, is_wanted=True) as write:
        for epoch in (1, 2, 3):
            write({"epoch": epoch, "loss": 10.0 + epoch})
    with scalar_writer(run, 1, is_wanted=True) as write:
        write({"epoch": 2, "loss": 22.0})
    assert scalars(run) == {"loss/training": {1: 11.0, 2: 22.0}}


def test_without_the_setting_there_is_no_folder(finished_run: Run) -> None:
    assert not finished_run.tensorboard.exists()


def test_a_missing_package_is_reported_before_the_run_is_made(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    message = "tensorboard: the package is not installed; pip install tensorboard, or leave the setting out"
    with pytest.raises(ConfigError, match=message):
        check_tensorboard()
    with pytest.raises(ConfigError, match=message):
        train(small_shapes, small_config.replace(tensorboard=True), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = train(small_shapes, small_config.replace(epochs=1), out=tmp_path / "without")
    with pytest.raises(RunError, match="is finished"):
        resume(run)


def test_damaged_history_lines_are_errors(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(RunError, match=r"history\.jsonl: the run lacks this file; no epoch of it is finished"):
        read_json_lines(run.history)
    for damage in ("{", "3", "\x00"):
        run.history.write_text(damage)
        with pytest.raises(RunError, match=r"history\.jsonl: is damaged"):
            read_json_lines(run.history)
