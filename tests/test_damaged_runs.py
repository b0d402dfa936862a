"""Whatever a file of a run holds, each command that reads it succeeds, or says in one line what is wrong with it."""

import os
import random
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.mutants import Mutant, mutate_arrays, mutate_json
from tests.report.runs import add_groups, make_reliance
from visionlib.cli.app import app
from visionlib.cli.group_tables import tabulate_groups
from visionlib.data import Dataset
from visionlib.errors import VisionlibError
from visionlib.evaluation import compare_runs, evaluate_run, load_evaluation, load_groups, load_stress, stress
from visionlib.evaluation.comparison.run_metrics import measure_run
from visionlib.evaluation.groups.wording import describe_groups
from visionlib.evaluation.render_html import to_html
from visionlib.evaluation.stress.cells import to_html as stress_to_html
from visionlib.explanation.reliance import load_reliance
from visionlib.explanation.reliance.wording import tell_shortcuts
from visionlib.export.card import CardFacts, write_card
from visionlib.export.source import ExportSource
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_model import load_model, load_summary
from visionlib.models.initial_weights import open_weights
from visionlib.models.model_record import load_record
from visionlib.report.charts.field_chart import draw_fields
from visionlib.report.charts.history_chart import draw_accuracy, draw_loss
from visionlib.report.charts.stress_chart import draw_stress
from visionlib.report.tables import tabulate_history, tabulate_layers, tabulate_shortcuts, tabulate_stress
from visionlib.runs import Run, read_config, read_history, read_training
from visionlib.runs.trust import is_trusted
from visionlib.summary.render_text import to_plain_text
from visionlib.training import train_run
from visionlib.training.pace import Pace
from visionlib.training.provenance import read_settings

Readers = dict[str, tuple[Callable[[Run], object], ...]]


def show_evaluation(run: Run) -> None:
    to_html(load_evaluation(run))


def show_history(run: Run) -> None:
    history = read_history(run)
    if history:
        for show in (draw_accuracy, draw_loss, tabulate_history):
            show(history)


def show_groups(run: Run) -> None:
    groups = load_groups(run)
    groups.to_dict()
    for show in (tabulate_groups, describe_groups):
        show(groups)


def show_summary(run: Run) -> None:
    table = load_summary(run)
    for show in (to_plain_text, draw_fields):
        show(table)
    tabulate_layers(table, table.model)


def show_stress(run: Run) -> None:
    result = load_stress(run)
    for show in (stress_to_html, draw_stress, tabulate_stress):
        show(result)


def show_shortcuts(run: Run) -> None:
    result = load_reliance(run)
    for show in (tabulate_shortcuts, tell_shortcuts):
        show(result)


def write_model_card(run: Run) -> None:
    facts = CardFacts("x", read_config(run), read_training(run), ExportSource.read_evaluation(_Source(run)))  # type: ignore[arg-type]
    write_card(load_record(run), facts)


class _Source:
    """What `ExportSource.read_evaluation` looks at, without the network."""

    is_run = True

    def __init__(self, run: Run) -> None:
        self.run = run


READERS: Readers = {
    "config.json": (
        *(read_config, read_settings, write_model_card, lambda run: is_trusted(run, "model", "x")),
        *(load_run_data, lambda run: measure_run(load_predictions(run), "x")),
    ),
    "model.json": (write_model_card, load_model, open_weights, load_predictions),
    "history.jsonl": (show_history,),
    "evaluation.json": (show_evaluation, write_model_card),
    "groups.json": (show_groups,),
    "summary.json": (show_summary,),
    "stress.json": (show_stress,),
    "shortcuts.json": (show_shortcuts,),
    "training.json": (read_training, write_model_card, Pace.from_run),
    "predictions.npz": (load_predictions, evaluate_run, lambda run: compare_runs([run, run])),
}
"""Record of a run -> the functions that commands read it with, and show it."""
SAMPLE = {"config.json": 20, "model.json": 15, "summary.json": 20, "evaluation.json": 20, "predictions.npz": 30}
"""Mutants that the quick test draws of records that take long to read; 40 of each other one."""
COMMANDS = {
    "config.json": ("test", "mistakes", "compare", "report", "predict", "explain", "resume"),
    "model.json": ("summary", "test", "mistakes", "compare", "report", "predict", "explain"),
    "history.jsonl": ("report", "resume"),
    "evaluation.json": ("test", "report"),
    "groups.json": ("report",),
    "summary.json": ("report", "compare"),
    "stress.json": ("report",),
    "shortcuts.json": ("report",),
    "training.json": ("compare", "report", "predict"),
    "predictions.npz": ("test", "mistakes", "compare", "report", "explain"),
}


@pytest.fixture(scope="module")
def whole_run(finished_run: Run, small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with its evaluation."""
    run = Run(tmp_path_factory.mktemp("damaged") / "run")
    shutil.copytree(finished_run.path, run.path)
    evaluate_run(run)
    stress(run, n=8, corruptions=["fog", "shift"], dataset=small_shapes)
    make_reliance(small_shapes.classes[0]).save(run)
    stored = load_predictions(run)
    add_groups(run, small_shapes, stored.predictions.logits.argmax(1))
    return run


@pytest.fixture(autouse=True)
def _loaded_data(small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data is the same for every mutant, and need not be drawn again."""
    monkeypatch.setattr("visionlib.inference.run_data.load_dataset", lambda *_, **__: small_shapes)


def list_mutants(run: Run, name: str) -> list[Mutant]:
    content, draws = (run.path / name).read_bytes(), random.Random(zlib.crc32(name.encode()))
    return list((mutate_arrays if name.endswith(".npz") else mutate_json)(content, draws))


def is_refused(action: Callable[[], object], description: str) -> bool:
    """Return whether an action ends with an error of ours, in one printable line; any other one is raised."""
    message = None
    try:
        action()
    except VisionlibError as error:
        message = str(error)
    except Exception as error:
        error.add_note(description)
        raise
    assert message is None or (message.isprintable() and "; " in message), description
    return message is not None


def read_mutants(run: Run, name: str, mutants: list[Mutant]) -> tuple[int, int]:
    """Read each mutant with each reader; return the numbers of readings and of refusals."""
    file, refused, read = run.path / name, 0, 0
    whole = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file() and path.suffix != ".safetensors"}
    for description, make in mutants:
        content = make()
        for reader in READERS[name]:
            file.write_bytes(content)
            read += 1
            try:
                refused += is_refused(partial(reader, run), f"{name}: {description}")
            finally:
                for path, before in whole.items():
                    if path == file or path.name == "evaluation.json":
                        path.write_bytes(before)
    return read, refused


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_record_is_read_or_refused_in_one_line(name: str, whole_run: Run) -> None:
    mutants = list_mutants(whole_run, name)
    sample = random.Random(0).sample(mutants, SAMPLE.get(name, 40))
    read, refused = read_mutants(whole_run, name, sample)
    assert read == len(sample) * len(READERS[name])
    assert 0 < refused < read


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_every_mutant_of_a_record_is_read_or_refused_in_one_line(name: str, whole_run: Run) -> None:
    mutants = list_mutants(whole_run, name)
    read, refused = read_mutants(whole_run, name, mutants)
    print(f"{name}: {len(mutants)} mutants, {read} readings, {refused} refused")  # noqa: T201  for -rP
    assert 0 < refused < read


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 20)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run ends before its first step: a mutant may ask for 10^9 epochs."""
    monkeypatch.setattr(train_run, "_train_run", lambda run, *_: run)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_training")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_a_result_or_one_line(name: str, whole_run: Run, picture: Path, tmp_path: Path) -> None:
    others = {"compare": (whole_run.path,), "predict": (picture,), "explain": ("--n", "4")}
    sample = random.Random(1).sample(list_mutants(whole_run, name), 60)
    for number, (description, make) in enumerate(sample):
        for command in COMMANDS[name]:
            run = Run(tmp_path / f"{number}-{command}")
            shutil.copytree(whole_run.path, run.path)
            (run.path / name).write_bytes(make())
            if command == "resume":
                run.training.unlink()
                action: Callable[[], object] = partial(train_run.resume, run)
            else:
                words = [command, str(run.path), *map(str, others.get(command, ()))]
                action = partial(app, words, standalone_mode=False)
            is_refused(action, f"{command}, {name}: {description}")
            shutil.rmtree(run.path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing", "link to itself"])
def test_what_is_no_file_is_refused_in_one_line(name: str, kind: str, whole_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(whole_run.path, run.path)
    file = run.path / name
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(tmp_path / "absent" if kind == "link to nothing" else file)
    results = [is_refused(partial(reader, run), f"{name}: {kind}") for reader in READERS[name]]
    # The first one cannot do without the record, except for these, which an unfinished or untested run lacks.
    assert results[0] or name in ("training.json", "evaluation.json")
