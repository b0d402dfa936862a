"""A run of someone else imports no code and reads no data by itself; the user's own one does."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from visionlib import trust_runs
from visionlib.data import Dataset
from visionlib.errors import RunError
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_model import load_model
from visionlib.runs import Run, read_json, write_json
from visionlib.runs.trust import is_trusted, sign_record
from visionlib.training import TrainConfig, train

OWN = "import torch.nn as nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(768, 10))\n"
EVIL = "import pathlib\npathlib.Path('was-here').touch()\n" + OWN


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for this test's key alone."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("VISIONLIB_KEYS", str(folder))
    monkeypatch.setattr("visionlib.runs.trust._is_trusting", False)
    return folder


@pytest.fixture
def stranger(copied_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose records name code that lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    rename(copied_run, "evil:build")
    return copied_run


def rename(run: Run, model: str) -> None:
    """Let a run's records name another network."""
    write_json(run.model, {**read_json(run.model), "model": model})
    config = read_json(run.config)
    write_json(run.config, {**config, "config": {**config["config"], "model": model}})


@pytest.mark.parametrize("name", ["evil:build", "evil.py:build", "os:abort", "sys:exit", "os.path:join"])
def test_code_that_a_strangers_run_names_is_not_imported(name: str, stranger: Run, tmp_path: Path) -> None:
    rename(stranger, name)
    with pytest.raises(RunError, match=f"was not made here by this user, and names code to import: {name}; .*--trust"):
        load_model(stranger)
    assert not (tmp_path / "was-here").exists()


@pytest.fixture(scope="module")
def pictures(small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders."""
    folder = tmp_path_factory.mktemp("pictures")
    for image, label in zip(small_shapes.train.images[:60], small_shapes.train.labels[:60].tolist(), strict=True):
        place = folder / small_shapes.classes[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{len(list(place.iterdir()))}.png")
    return folder


@pytest.fixture(scope="module")
def run_on_pictures(pictures: Path, small_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on them."""
    return train(pictures, small_config.replace(epochs=1), out=tmp_path_factory.mktemp("run") / "run").path


@pytest.mark.parametrize(
    "command",
    ["summary", "test --predict", "explain", "features", "inspect --neighbours a.png", "train --resume"],
)
@pytest.mark.parametrize("name", ["evil:build", "os:abort"])
def test_no_command_imports_it(
    command: str, name: str, pictures: Path, run_on_pictures: Path, tmp_path: Path, keys: Path
) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    run = Run(tmp_path / "run")
    shutil.copytree(run_on_pictures, run.path)
    rename(run, name)
    if "--resume" in command:
        run.training.unlink()
    first, *options = command.split()
    data = {"summary": [], "train": [pictures]}.get(first, ["--dataset", pictures])
    order = [*data, *options, run.path] if first == "train" else [run.path, *options, *data]
    done = visionlib(first, *order, cwd=tmp_path, VISIONLIB_KEYS=str(keys))
    assert not (tmp_path / "was-here").exists()
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: ")
    assert re.search(f": was not made here by this user, and names code to import: {name}; .*\n$", done.stderr)


def test_trust_is_what_the_user_says(stranger: Run, tmp_path: Path) -> None:
    trust_runs()
    with pytest.raises(Exception, match=r"1\.weight"):  # the code runs, and its tensors are not those of the file
        load_model(stranger)
    assert (tmp_path / "was-here").exists()
    trust_runs(False)
    assert not is_trusted(stranger, "model", "evil:build")


def test_an_own_run_needs_nothing_and_keeps_its_trust_where_it_moves(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    run = train(small_shapes, small_config.replace(model="own.py:build", epochs=1), out=tmp_path / "run")
    assert load_model(run)[1].model == "own.py:build"
    run.path.rename(tmp_path / "moved")
    moved = Run(tmp_path / "moved")
    load_model(moved)
    assert (keys / "run-signatures.key").stat().st_mode & 0o077 == 0
    rename(moved, "own:build")  # signed is one name, not any
    with pytest.raises(RunError, match="names code to import: own:build"):
        load_model(moved)
    rename(moved, "own.py:build")
    monkeypatch.setenv("VISIONLIB_KEYS", str(tmp_path / "another user"))
    with pytest.raises(RunError, match="was not made here"):
        load_model(moved)


@pytest.mark.parametrize("signatures", [None, [], "x", {"model": None}, {"model": 3}, {"model": "é"}, {"model": ""}])
def test_signatures_of_any_kind_are_no_crash(signatures: Any, stranger: Run) -> None:
    write_json(stranger.config, {**read_json(stranger.config), "signatures": signatures})
    with pytest.raises(RunError, match="was not made here"):
        load_model(stranger)


def test_a_strangers_path_is_not_read_and_nothing_is_downloaded(
    copied_run: Run, small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = read_json(copied_run.config)

    def name(**changes: Any) -> None:
        write_json(copied_run.config, {**config, "dataset": {**config["dataset"], **changes}})

    name(name="secret", path=str(tmp_path))
    with pytest.raises(RunError, match=f"names data to read: {tmp_path}; name the data by --dataset, or add --trust"):
        load_run_data(copied_run)
    asked: dict[str, Any] = {}

    def remember(path: object, **options: Any) -> Dataset:
        asked.update(options, path=path)
        return small_shapes

    monkeypatch.setattr("visionlib.inference.run_data.load_dataset", remember)
    name(name="cifar10", path=None, options={})
    assert load_run_data(copied_run).content_hash == small_shapes.content_hash
    assert asked == {"path": "cifar10", "download": False}
    asked.clear()
    load_run_data(copied_run, "cifar10")  # the user names it
    assert asked == {"path": "cifar10"}


def test_two_processes_that_make_the_key_at_once_have_one(keys: Path) -> None:
    code = "from visionlib.runs.trust import sign_record; print(sign_record('model', 'a:b'))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    signatures = {process.communicate()[0].strip() for process in processes}
    assert signatures == {sign_record("model", "a:b")}
    assert [file.name for file in keys.iterdir()] == ["run-signatures.key"]


def test_without_a_place_for_the_key_nothing_is_signed_and_training_works(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VISIONLIB_KEYS", str(tmp_path / "file" / "below"))
    run = train(small_shapes, small_config.replace(epochs=1), out=tmp_path / "run")
    assert json.loads(run.config.read_text())["signatures"] == {"model": None, "dataset": None}


@pytest.mark.parametrize("url", ["s3://bucket/set", "https://host/train.parquet", "memory://set", "/tmp/*.parquet"])
@pytest.mark.parametrize("is_path", [True, False])
def test_a_strangers_url_is_not_opened(
    url: str, is_path: bool, copied_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_json(copied_run.config)
    named = {"name": url, "path": url if is_path else None}
    write_json(copied_run.config, {**config, "dataset": {**config["dataset"], **named}})
    opened: list[str] = []
    monkeypatch.setattr("visionlib.data.load.find_shards", opened.append)
    with pytest.raises(RunError, match=r"names data to read|was trained on a dataset in memory"):
        load_run_data(copied_run)
    assert opened == []
