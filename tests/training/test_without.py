"""Trainings without some images: equal to one on the other images, resumed to the bit, and kept with the run."""

import dataclasses
import signal
from pathlib import Path

import pytest
import torch
import typer.main

from tests.training.interrupting import interrupt_after
from visionlib import resume, train
from visionlib.cli.app import app
from visionlib.data import Dataset
from visionlib.data.correction_list import read_corrections
from visionlib.data.corrections import Corrections
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.evaluation import compare_runs, find_mistakes, load_predictions
from visionlib.evaluation.comparison.comparison import write_differing
from visionlib.evaluation.mistakes import write_mistakes
from visionlib.inference.run_corrections import load_corrections
from visionlib.inference.run_data import load_run_data
from visionlib.inspection import LabelCandidates, tabulate_candidates
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_config, read_json, write_json
from visionlib.training import TrainConfig


@pytest.fixture
def listed(small_shapes: Dataset, tmp_path: Path) -> Path:
    """A list of three images, one of them to relabel."""
    path = tmp_path / "list.csv"
    other = small_shapes.classes[(int(small_shapes.train.labels[7]) + 1) % 10]
    path.write_text(f"index,new_label\n3,\n7,{other}\n150,\n")
    return path


def weights(run: Run) -> str:
    return load_record(run).weights_sha256


def test_an_interrupted_training_without_images_is_one_on_the_other_images(
    listed: Path, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.replace(epochs=1, validation_fraction=0.1)
    lines: list[str] = []
    with monkeypatch.context() as patched:
        interrupt_after(1, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(small_shapes, config, without=listed, out=tmp_path / "run", log=lines.append)
    assert "2 training images left out, 1 relabelled; 198 are left" in lines

    def again(without: Path | None) -> Run:
        return train(small_shapes, config, without=without, out=tmp_path / "run", go_on=True)

    changed = tmp_path / "changed.csv"
    changed.write_text("3\n150\n")
    with pytest.raises(ConfigError, match="run: was begun with 2 training images left out, 1 relabelled, and 2 tr"):
        again(changed)
    changed.write_text(listed.read_text().replace("150", "151"))
    with pytest.raises(ConfigError, match="and another list of as many images is given now; give the same list"):
        again(changed)
    with pytest.raises(ConfigError, match="and no list of images to leave out is given now"):
        again(None)
    listed.unlink()
    run = resume(tmp_path / "run", dataset=small_shapes)

    keep = torch.tensor([position for position in range(200) if position not in (3, 150)])
    labels = small_shapes.train.labels.clone()
    labels[7] = (labels[7] + 1) % 10
    by_hand = dataclasses.replace(small_shapes.train, labels=labels).subset(keep)
    others = dataclasses.replace(small_shapes, splits={**small_shapes.splits, "train": by_hand})
    plain = train(others, config, out=tmp_path / "plain")
    assert weights(run) == weights(plain)
    record, expected = read_config(run), read_config(plain)
    assert record.dataset.content_hash == expected.dataset.content_hash
    assert (record.dataset.splits["train"].n, expected.without) == (198, None)
    assert record.without is not None
    assert (record.without.left_out, record.without.relabelled, record.without.file) == (2, 1, str(listed))
    # Later commands see the data that it learned from, from the whole set or from the rest.
    for data in (small_shapes, others):
        assert load_run_data(run, data).train.content_hash == by_hand.content_hash
    write_json(run.corrections, {"left_out": [4], "relabelled": []})
    with pytest.raises(RunError, match=r"corrections\.json: is not the list that the run was trained with"):
        load_run_data(run, small_shapes)


def test_ids_and_another_run_name_images_as_a_file_does(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, finished_run: Run
) -> None:
    config = small_config.replace(epochs=1)
    first = train(small_shapes, config, without=torch.tensor([9, 4, 9]), out=tmp_path / "first")
    assert load_corrections(first) == Corrections((4, 9))
    second = train(small_shapes, config, without=first.path, out=tmp_path / "second")
    assert load_corrections(second) == Corrections((4, 9))
    assert weights(first) == weights(second)
    assert read_json(first.config)["without"]["file"] is None
    with pytest.raises(ConfigError, match="finished: is a run that left out no image"):
        train(small_shapes, config, without=finished_run.path, out=tmp_path / "third")
    with pytest.raises(DataError, match="image 200: is not in the training split of shapes; name training images"):
        train(small_shapes, config, without=[200], out=tmp_path / "third")
    other = dataclasses.replace(
        small_shapes, splits={**small_shapes.splits, "train": small_shapes.train.subset(torch.arange(9))}
    )
    with pytest.raises(RunError, match=r"was trained on other data than shapes holds now \(image 9 is not in the tr"):
        load_run_data(first, other)
    assert not (tmp_path / "third").exists()


def test_a_start_that_was_killed_before_its_settings_begins_anew(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.path.mkdir()
    write_json(run.corrections, {"left_out": [1], "relabelled": []})
    train(small_shapes, small_config.replace(epochs=1), out=run.path)
    assert load_corrections(run) is None
    assert not run.corrections.exists()


def test_tables_of_candidates_are_read_and_those_of_test_images_refused(
    small_shapes: Dataset, finished_run: Run, tmp_path: Path
) -> None:
    split = small_shapes.train
    positions = torch.tensor([5, 2, 11])
    suggested = (split.labels[positions] + 1) % 10
    rows = torch.full((3, 10), 0.1, dtype=torch.float64)
    facts = ("hand", 200, split.index[positions], split.labels[positions], suggested, rows[:, 0], rows, split.classes)
    path = tmp_path / "labels.csv"
    path.write_text(tabulate_candidates(LabelCandidates("train", *facts, content_hash="")))
    assert read_corrections(path, small_shapes) == Corrections((2, 5, 11))
    path.write_text(path.read_text().replace("suggested", "new_label", 1))
    expected = sorted((int(at), split.classes[int(label)]) for at, label in zip(positions, suggested, strict=True))
    assert read_corrections(path, small_shapes) == Corrections((), tuple(expected))
    path.write_text(tabulate_candidates(LabelCandidates("test", *facts, content_hash="")))
    with pytest.raises(DataError, match="line 2: is about the split 'test', and only training images are learned from"):
        read_corrections(path, small_shapes)
    stored = load_predictions(finished_run)
    write_mistakes(find_mistakes(stored.predictions, stored.labels, small_shapes.classes), path)
    with pytest.raises(DataError, match="is a list of test images with their predictions"):
        read_corrections(path, small_shapes)
    write_differing(compare_runs([finished_run, finished_run]), path)
    with pytest.raises(DataError, match="is a list of test images with their predictions"):
        read_corrections(path, small_shapes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shapes", "--without", "absent.csv"], "absent.csv: there is no such file; name a list of training images"),
        (["shapes", "--without", "."], r"\.: is no file; name a list of training images"),
        (["--resume", "run", "--without", "a.csv"], "--without: a resumed run keeps the settings that it began with"),
    ],
)
def test_the_command_refuses_lists_before_it_loads_the_data(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("visionlib.data.load_dataset", lambda *_, **__: pytest.fail("the data was loaded"))
    with pytest.raises(ConfigError, match=message):
        typer.main.get_command(app).commands["train"].main(arguments, standalone_mode=False)  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())
