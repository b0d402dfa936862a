"""torchrun starts lost processes again: they go on from the checkpoint, in fewer processes where a machine is gone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.processes import find_port
from tests.training.interrupting import interrupt_after, same_weights
from tests.training.launching import children, environment, history, settings, train_as
from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.runs import Run
from visionlib.runs.files import hash_file
from visionlib.training import TrainConfig, train
from visionlib.training.distributed import ProcessGroup

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def agent(folder: Path) -> Iterator[Start]:
    """Start agents of torchrun with two processes each; those that a test leaves running are ended."""
    begun = []

    def start(*arguments: object, modules: Path | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, arguments)]
        paths = environment(folder)
        if modules is not None:
            paths["PYTHONPATH"] = f"{modules}:{paths['PYTHONPATH']}"
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, **paths}
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.terminate()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate(timeout=60)


def wait_for_checkpoint(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (out / "resume.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_processes_that_are_started_again_go_on_by_themselves(agent: Start, folder: Path, tmp_path: Path) -> None:
    arguments = settings("normalized", epochs=15, parts=2, checkpoint_s=0.01)
    train_as(folder, 1, tmp_path / "whole", *arguments)
    launched = agent(
        *("--standalone", "--max-restarts", 1, "-m", "visionlib", "train"), *arguments, "--out", tmp_path / "run"
    )
    wait_for_checkpoint(tmp_path / "run", launched)
    os.kill(children(launched)[-1], signal.SIGKILL)
    output, errors = launched.communicate(timeout=60)
    assert launched.returncode == 0, errors
    assert errors.count("going on in 2 processes after epoch") == 1
    assert "error: " not in errors
    assert output.count("next: visionlib test") == 1
    assert hash_file(tmp_path / "run/model.safetensors") == hash_file(tmp_path / "whole/model.safetensors")


def meet(port: int, nodes: str, restarts: int) -> list[object]:
    return [
        *("--nnodes", nodes, "--max-restarts", restarts, "--rdzv-id", "test", "--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-conf", "last_call_timeout=3", "-m", "visionlib", "train"),
    ]


@pytest.mark.slow
def test_a_machine_is_lost_and_the_other_one_goes_on(agent: Start, folder: Path, tmp_path: Path) -> None:
    """Two agents with two processes each, their data at different paths; one is killed with its processes."""
    arguments = settings("normalized", epochs=60, parts=4, checkpoint_s=0.01)
    train_as(folder, 1, tmp_path / "whole", *arguments)
    shutil.copytree(folder / "pictures", tmp_path / "elsewhere")
    out, port = ["--out", tmp_path / "run"], find_port()
    first = agent(*meet(port, "1:2", 2), *arguments, *out)
    time.sleep(1)  # the first one meets the others
    second = agent(*meet(port, "1:2", 2), tmp_path / "elsewhere", *arguments[1:], *out)
    wait_for_checkpoint(tmp_path / "run", first)
    assert json.loads((tmp_path / "run/config.json").read_text())["compute"]["processes"] == 4
    for victim in (second.pid, *children(second)):
        os.kill(victim, signal.SIGKILL)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    assert "another one ended" in errors
    assert "torchrun starts them again, and they go on from the last checkpoint" in errors
    assert errors.count("going on in 2 processes after epoch") == 1
    assert len(history(tmp_path / "run")) == 60
    assert hash_file(tmp_path / "run/model.safetensors") == hash_file(tmp_path / "whole/model.safetensors")


OTHER_NUMPY = """import importlib.metadata as metadata
_real = metadata.version
metadata.version = lambda name: "1.0" if name == "numpy" else _real(name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("different", ["data", "settings", "versions", "absent"])
def test_two_machines_that_differ_end_with_one_line(different: str, agent: Start, folder: Path, tmp_path: Path) -> None:
    """Within thirty seconds of the start of the second one, and before the first step."""
    arguments = settings("normalized", epochs=500, parts=4)
    data, changes = tmp_path / "elsewhere", {"settings": ["--flip", "random"]}.get(different, [])
    shutil.copytree(folder / "pictures", data)
    if different == "data":
        shutil.copy(data / "train/dark/1.png", data / "train/dark/0.png")
    if different == "absent":
        data = tmp_path / "nowhere"
    if different == "versions":
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules/sitecustomize.py").write_text(OTHER_NUMPY)
    out, port = ["--out", tmp_path / "run"], find_port()
    agents = [agent(*meet(port, "2", 0), *arguments, *out)]
    time.sleep(1)
    modules = tmp_path / "modules" if different == "versions" else None
    agents.append(agent(*meet(port, "2", 0), data, *arguments[1:], *changes, *out, modules=modules))
    started = time.monotonic()
    everything = [process.communicate(timeout=60) for process in agents]
    assert time.monotonic() - started < 30
    assert all(process.returncode for process in agents)
    errors = [line for _, text in everything for line in text.splitlines() if line.startswith("error: ")]
    told = [line for line in errors if "another one ended" not in line]
    assert len(told) == 1, errors
    assert len(errors) <= 2  # of an absent data set, each machine tells
    expected = {
        "data": "the content hash of the data is",
        "settings": "--flip is random, and in the first process alternating",
        "versions": "the version of numpy is 1.0",
        "absent": "nowhere",
    }
    assert expected[different] in told[0]
    assert not (tmp_path / "run").exists()


def test_the_first_process_tells_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(everyone: list[object], own: tuple[str, dict[str, str]]) -> None:
        everyone[:] = [("here", {"--epochs": "3"}), ("here", {"--epochs": "3"}), ("there", {"--epochs": "4"})]

    monkeypatch.setattr("visionlib.training.distributed.dist.all_gather_object", gather)
    with pytest.raises(ConfigError, match="process 2 of 3 on there: --epochs is 4, and in the first process 3; st"):
        ProcessGroup(0, 3).check_agreement({"--epochs": "3"})
    with pytest.raises(SystemExit, match="2"):
        ProcessGroup(2, 3).check_agreement({"--epochs": "4"})
    monkeypatch.setattr(
        "visionlib.training.distributed.dist.all_gather_object",
        lambda everyone, own: everyone.__setitem__(slice(None), [own] * 3),
    )
    ProcessGroup(2, 3).check_agreement({"--epochs": "4"})


def test_one_call_serves_every_restart(
    small_shapes: Dataset,
    small_config: TrainConfig,
    finished_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []

    def again(config: TrainConfig = small_config) -> Run:
        return train(small_shapes, config, out=tmp_path / "run", go_on=True, log=lines.append)

    with monkeypatch.context() as patched:
        interrupt_after(2, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            again()
    with pytest.raises(ConfigError, match="was begun with epochs 2, and 3 is given now; give the same settings"):
        again(small_config.replace(epochs=3))
    assert same_weights(again(), finished_run)
    assert any("going on after epoch" in line for line in lines)
    lines.clear()
    again()
    assert lines[-1].endswith("is finished")


def test_a_run_that_torchrun_may_restart_needs_a_name(
    small_shapes: Dataset, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(ConfigError, match="out: a run that goes on after a restart must be found again; name it"):
        train(small_shapes, small_config)
