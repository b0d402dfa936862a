"""Several processes train as one does, report everything once, and end together."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.processes import visionlib
from tests.training.launching import children, environment, history, launch, settings, start, train_as
from visionlib.errors import ConfigError
from visionlib.runs.files import hash_file
from visionlib.training import resume
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup, find_process_group


@pytest.mark.parametrize(
    ("model", "counts", "changes"),
    [
        # Three processes own two, two and two parts or one, one and two: both end with the bits of one process.
        pytest.param("plain", (1, 3), {"parts": 4, "optimizer": "muon", "sam_radius": 0.05, "mix": "both"}, id="plain"),
        pytest.param("normalized", (1, 2), {"parts": 2, "averaging": "ema", "validation_fraction": 0.1}, id="norm"),
        pytest.param(
            *("cnn8", (1, 2, 3, 4, 6)),
            {"parts": 6, "optimizer": "muon", "sam_radius": 0.05, "sam_start": 0.3, "sam_fraction": 0.5, "mix": "both"},
            id="cnn8-sam",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("cnn8", (1, 2, 4)),
            {"parts": 4, "precision": "bf16", "kernels": "auto", "averaging": "ema", "policy": "trivial"},
            id="cnn8-bf16",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_any_number_of_processes_ends_with_the_same_bits(
    model: str, counts: tuple[int, ...], changes: dict[str, object], folder: Path
) -> None:
    """62 images in batches of twenty and twenty-one, over three epochs; SHA-256 of the weights, and the history.

    Each of several ends before its interpreter finalizes: gloo's threads live until then, and sometimes abort the
    process; this network's module always does.
    """
    arguments = settings(model, batch_size=21, **changes)
    runs = [train_as(folder, count, f"{model}-{'-'.join(changes)}-{count}", *arguments) for count in counts]
    assert len({hash_file(run / "model.safetensors") for run in runs}) == 1
    ignored = {"seconds": 0, "images_per_second": 0}
    assert all([{**a, **ignored} for a in history(run)] == [{**b, **ignored} for b in history(runs[0])] for run in runs)
    config = json.loads((runs[-1] / "config.json").read_text())
    assert (config["compute"]["processes"], config["config"]["parts"]) == (counts[-1], changes["parts"])


def test_a_process_is_a_part_where_there_are_fewer(folder: Path) -> None:
    """Two processes train a step of one part in two, and one process goes on with these."""
    arguments = settings("normalized")
    two = train_as(folder, 2, "two-of-one", *arguments)
    one = train_as(folder, 1, "one-of-two", *arguments, "--parts", 2)
    assert json.loads((two / "config.json").read_text())["config"]["parts"] == 2
    assert hash_file(one / "model.safetensors") == hash_file(two / "model.safetensors")


@pytest.fixture
def slow_run(folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Two processes that have written their first checkpoint."""
    out = tmp_path / "run"
    # More epochs than can pass meanwhile; a checkpoint whenever it costs little.
    process = start(folder, *settings("normalized", epochs=2000, checkpoint_s=0.01), "--out", out, "--devices", 2)
    deadline = time.monotonic() + 60
    while not (out / "resume.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process, out
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_the_death_of_one_process_ends_the_others_with_one_message(
    slow_run: tuple[subprocess.Popen[str], Path],
) -> None:
    process, _ = slow_run
    victim = children(process)[-1]
    os.kill(victim, signal.SIGKILL)
    # Within two seconds on a quiet machine; alone it would go on for minutes.
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "was ended by SIGKILL, and so the others were, too; go on with --resume RUN" in line
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "counts",
    [pytest.param((2, 1), id="2-1"), pytest.param((4, 1, 2), id="4-1-2", marks=pytest.mark.slow)],
)
def test_a_run_goes_on_in_another_number_of_processes(
    counts: tuple[int, ...], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at any step, and resumed in fewer or more processes: the bits of an uninterrupted run."""
    out, epochs = tmp_path / "parts", 40 * (len(counts) - 1)
    arguments = settings("normalized", epochs=epochs, flip="random", parts=counts[0], averaging="ema")
    train_as(folder, 1, tmp_path / "whole", *arguments)
    begun = [*arguments, "--out", out]
    for count in counts[:-1]:
        done = len(history(out)) if (out / "history.jsonl").exists() else 0
        interrupted = start(folder, *begun, "--devices", count)
        deadline = time.monotonic() + 60
        while not (out / "history.jsonl").exists() or len(history(out)) == done:
            assert interrupted.poll() is None, interrupted.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        interrupted.send_signal(signal.SIGINT)
        _, errors = interrupted.communicate(timeout=60)
        assert interrupted.returncode == 130, errors
        command = f"go on with: visionlib train --resume {out}" + (f" --devices {count}" if count > 1 else "")
        assert errors.count(command) == 1
        begun = ["--resume", out]
    problem = f"has {counts[0]} parts a step, too few for {counts[0] + 1} processes; resume it with at most {counts[0]}"
    with monkeypatch.context() as patched:
        patched.setenv("RANK", "0")
        patched.setenv("WORLD_SIZE", f"{counts[0] + 1}")
        with pytest.raises(ConfigError, match=problem):
            resume(out)
    resumed = launch(folder, "--resume", out, "--devices", counts[-1])
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("next: visionlib test") == 1
    assert resumed.stderr.count(f"epoch {epochs}/{epochs}") == 1
    assert hash_file(out / "model.safetensors") == hash_file(tmp_path / "whole" / "model.safetensors")


def test_processes_follow_one_time_budget_and_its_pace_repeats_the_run(folder: Path, tmp_path: Path) -> None:
    """The first process plans by its clock; another plan in another process would leave one of them waiting."""
    arguments = settings("normalized", flip="random")
    for out, pace in (("timed", ("--max-seconds", 1)), ("again", ("--pace", tmp_path / "timed"))):
        train_as(folder, 2, tmp_path / out, *arguments, *pace)
    timed, again = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("timed", "again"))
    assert timed["time_budget"]["max_seconds"] == 1
    assert len(timed["pace"]) > 1
    assert again["pace"] == timed["pace"]
    assert again["images"] == timed["images"] == sum(record["images"] for record in history(tmp_path / "timed"))
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("timed", "again"))
    assert all(torch.equal(weights, theirs[name]) for name, weights in ours.items())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(
            ["nowhere", "--device", "cpu"], 2, "error: nowhere: is no dataset", id="data", marks=pytest.mark.slow
        ),
        pytest.param(
            settings("normalized", batch_size=3),
            2,
            "error: batch_size: batches of 2 images are less than two for each of 2 processes",
            id="batch",
        ),
    ],
)
def test_an_error_is_reported_once(arguments: list[object], code: int, message: str, folder: Path) -> None:
    failed = launch(folder, *arguments, "--devices", 2)
    assert failed.returncode == code
    assert failed.stderr.count(message) == failed.stderr.count("error: ") == 1


def test_processes_import_nothing_from_the_current_folder(folder: Path, tmp_path: Path) -> None:
    for name in ("safetensors", "scipy", "numpy"):  # which this process has imported already
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'was-here')!r}, 'w').close()\nraise SystemExit(3)\n"
        )
    words = [str(folder / "pictures"), *settings("resnet20", epochs=1)[1:]]
    done = visionlib("train", *words, "--devices", 2, "--out", "run", cwd=tmp_path, **environment(folder))
    assert done.returncode == 0, done
    assert not (tmp_path / "was-here").exists()
    assert json.loads((tmp_path / "run/config.json").read_text())["command"][:2] == ["visionlib", "train"]


def test_no_process_cannot_train(folder: Path) -> None:
    refused = launch(folder, "pictures", "--devices", 0)
    assert "error: --devices: 0 cannot train; set at least 1" in refused.stderr
    assert refused.returncode == 2


def test_every_image_of_a_batch_is_in_one_shard() -> None:
    positions = torch.arange(11)
    shards = [ProcessGroup(rank, 3).shard(positions) for rank in range(3)]
    assert sorted(torch.cat(shards).tolist()) == positions.tolist()
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert torch.equal(SINGLE_PROCESS.shard(positions), positions)


def test_the_process_group_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_process_group() == SINGLE_PROCESS
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert find_process_group() == ProcessGroup(5, 8, 1, 4)
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(ConfigError, match=r"RANK=8, WORLD_SIZE=8, .*is no process of several"):
        find_process_group()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ConfigError, match="RANK=first"):
        find_process_group()
