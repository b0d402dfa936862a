"""An interrupted and resumed run equals an uninterrupted one, bit for bit, after any step and any signal."""

import importlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.cpu import needs_kernels
from tests.training.interrupting import interrupt_after, same_weights, without_times
from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.runs import Run, read_json
from visionlib.runs.lock import writing
from visionlib.training import TrainConfig, resume, train
from visionlib.training.averaging import WeightAverage
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint
from visionlib.training.cpu.compile import KernelError
from visionlib.training.distributed import ProcessGroup

accelerate_module = importlib.import_module("visionlib.training.cpu.accelerate")  # the package exports the function

STEPS_PER_EPOCH = 4
"""Of the small configuration: 200 images in batches of 50."""


@pytest.mark.parametrize(
    "steps",
    [
        # Within the first epoch, at its end, within the second, and at the end of all; the others in `make slow`.
        pytest.param(steps, marks=[] if steps in (1, 4, 6, 8) else [pytest.mark.slow])
        for steps in range(1, 2 * STEPS_PER_EPOCH + 1)
    ],
)
def test_an_interrupt_after_any_step_changes_nothing(
    steps: int,
    finished_run: Run,
    small_shapes: Dataset,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages: list[str] = []
    with monkeypatch.context() as patched:
        interrupt_after(steps, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(small_shapes, small_config, out=tmp_path / "run", log=messages.append)
    assert messages[-1] == f"interrupted and saved; go on with: visionlib train --resume {tmp_path / 'run'}"
    run = resume(tmp_path / "run", dataset=small_shapes, log=messages.append)
    assert f"going on after epoch {steps // STEPS_PER_EPOCH} and {steps % STEPS_PER_EPOCH} steps" in messages
    assert same_weights(run, finished_run)
    assert without_times(run) == without_times(finished_run)
    outcome = read_json(run.training)
    assert outcome["seconds_total"] > outcome["seconds_training"]
    assert outcome["test_accuracy"] == read_json(finished_run.training)["test_accuracy"]
    assert run.predictions.read_bytes() == finished_run.predictions.read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, marks=pytest.mark.slow, id="plain"),  # interrupted once in the test before
        {"averaging": "ema", "averaging_decay": 0.8, "whiten": True},
        pytest.param({"norm_bias_factor": 8.0}, marks=pytest.mark.slow, id="norm-bias"),  # the next has it, too
        {"averaging": "ema", "optimizer": "muon", "norm_bias_factor": 8.0},
        # Both are parts of those below.
        pytest.param({"precision": "bf16", "optimizer": "muon"}, marks=pytest.mark.slow, id="bf16-muon"),
        pytest.param(
            {"sam_radius": 0.05, "sam_start": 0.4, "optimizer": "muon", "parts": 2}, marks=pytest.mark.slow, id="sam"
        ),
        {"mix": "both", "mix_end": 0.6, "policy": "trivial", "erase_fraction": 0.5, "averaging": "ema"},
        {"mix": "cutmix", "sam_radius": 0.05, "sam_start": 0.4, "parts": 2, "precision": "bf16"},
        {
            "model": "cnn8",
            "resolutions": (0.5, 0.75),
            "optimizer": "muon",
            "norm_bias_factor": 16.0,
            "whiten": True,
            "precision": "bf16",
        },
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_repeated_interruptions_change_nothing(
    settings: dict[str, Any],
    small_shapes: Dataset,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small_config.replace(
        epochs=2, batch_size=30, flip="random", cutout_px=4, validation_fraction=0.1, **settings
    )
    uninterrupted = train(small_shapes, config, out=tmp_path / "whole")
    dice = random.Random(6)  # after steps 5, 6 and 10 of 12: within each epoch, and at the end of the first
    go: Callable[[], Run] = lambda: train(small_shapes, config, out=tmp_path / "parts")  # noqa: E731
    interruptions = 0
    while True:
        with monkeypatch.context() as patched:
            interrupt_after(dice.randint(1, 6), patched, lambda: signal.raise_signal(signal.SIGTERM))
            code: object = None
            try:
                parts = go()
            except SystemExit as end:
                code = end.code
        if code is None:
            break
        assert code == 143
        interruptions += 1
        go = lambda: resume(tmp_path / "parts", dataset=small_shapes)  # noqa: E731
    assert interruptions >= 3
    assert same_weights(parts, uninterrupted)
    assert without_times(parts) == without_times(uninterrupted)


@needs_kernels
@pytest.mark.parametrize("had_kernels", [True, False])
def test_a_run_is_resumed_with_the_kernels_that_it_began_with(
    had_kernels: bool,
    small_shapes: Dataset,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise KernelError("there is no C++ compiler")

    def with_kernels(are_there: bool, act: Callable[[], Run]) -> Run:
        with monkeypatch.context() as patched:
            if not are_there:
                patched.setattr(accelerate_module, "load_kernels", fail)
            return act()

    config = small_config.replace(precision="bf16")
    folder = tmp_path / "run"
    uninterrupted = with_kernels(had_kernels, lambda: train(small_shapes, config, out=tmp_path / "whole"))
    with monkeypatch.context() as patched:
        interrupt_after(3, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            with_kernels(had_kernels, lambda: train(small_shapes, config, out=folder))
    assert read_json(folder / "config.json")["compute"]["kernels"] == ("own" if had_kernels else "torch")
    if had_kernels:
        with pytest.raises(ConfigError, match=r"was begun with kernels that cannot be had here: .*no C\+\+ compiler"):
            with_kernels(False, lambda: resume(folder, dataset=small_shapes))
    assert same_weights(resume(folder, dataset=small_shapes), uninterrupted)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_killed_process_is_resumed_from_its_last_checkpoint(finished_run: Run, tmp_path: Path) -> None:
    """By SIGKILL, at an arbitrary moment."""
    script = (
        "import sys; from visionlib.data import load_shapes; from visionlib.training import TrainConfig, train\n"
        "config = TrainConfig(model='resnet20', epochs=2, batch_size=64, device='cpu', precision='fp32', "
        "checkpoint_s=0.001, threads=int(sys.argv[2]))\n"
        "import visionlib.training.checkpoint as c; c._MAX_TIME_FRACTION = 1.0\n"
        "train(load_shapes(n_train=200, n_test=70, image_size=16), config, out=sys.argv[1])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "run"), str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "resume.pt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    from visionlib.data import load_shapes

    run = resume(tmp_path / "run", dataset=load_shapes(n_train=200, n_test=70, image_size=16))
    assert same_weights(run, finished_run)


def test_a_closed_terminal_saves(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the shell that runs the tests may have it ignored
    try:
        interrupt_after(2, monkeypatch, lambda: signal.raise_signal(signal.SIGHUP))
        with pytest.raises(SystemExit) as ended:
            train(small_shapes, small_config, out=tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended.value.code == 128 + signal.SIGHUP
    assert (tmp_path / "run" / "resume.pt").is_file()


def test_a_run_that_is_removed_while_it_trains_is_told(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    interrupt_after(2, monkeypatch, lambda: shutil.rmtree("run"))
    with pytest.raises(RunError, match=r"run/history\.jsonl: cannot be written \(No such file or directory\)"):
        train(small_shapes, small_config, out=Path("run"))


def test_a_second_interrupt_ends_at_once(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    interrupt_after(2, monkeypatch, twice)
    with pytest.raises(KeyboardInterrupt):
        train(small_shapes, small_config, out=tmp_path / "run")
    assert not (tmp_path / "run" / "resume.pt").exists()


def test_handlers_are_restored_and_other_threads_train_without_them(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(small_shapes, small_config.replace(epochs=1), out=tmp_path / "main")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    thread = threading.Thread(
        target=train, args=(small_shapes, small_config.replace(epochs=1)), kwargs={"out": tmp_path / "side"}
    )
    thread.start()
    thread.join()
    assert same_weights(Run(tmp_path / "main"), Run(tmp_path / "side"))


def test_without_checkpoints_there_is_no_file(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    run = train(small_shapes, small_config.replace(epochs=1, checkpoint_s=0), out=tmp_path / "run")
    assert not run.resume.exists()


def test_runs_that_cannot_be_resumed_are_errors(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is finished; test it with: visionlib test"):
        resume(finished_run)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(finished_run.config.read_bytes())
    with pytest.raises(RunError, match="was trained on other data than shapes holds now"):
        resume(tmp_path / "run")
    for damage in (b"", b"no checkpoint", b"PK\x03\x04"):
        (tmp_path / "run" / "resume.pt").write_bytes(damage)
        with pytest.raises(RunError, match=r"resume\.pt: cannot be resumed from \(.*\); remove it, and train again"):
            resume(tmp_path / "run", dataset=small_shapes)


@pytest.fixture
def interrupted(
    small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A run that was interrupted after two steps."""
    with monkeypatch.context() as patched:
        interrupt_after(2, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(small_shapes, small_config, out=tmp_path / "run")
    return Run(tmp_path / "run")


def test_a_flipped_bit_of_a_checkpoint_is_noticed(interrupted: Run, small_shapes: Dataset) -> None:
    content = interrupted.resume.read_bytes()
    draw = random.Random(0)
    for _ in range(100):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        interrupted.resume.write_bytes(changed)
        with pytest.raises(RunError, match=r"resume\.pt: (is damaged|cannot be resumed from)"):
            resume(interrupted, dataset=small_shapes)


def test_a_run_that_is_being_written_is_not_resumed(
    interrupted: Run, finished_run: Run, small_shapes: Dataset, small_config: TrainConfig
) -> None:
    with writing(interrupted):
        with pytest.raises(RunError, match=f"is being written by process {os.getpid()} on"):
            resume(interrupted, dataset=small_shapes)
        with pytest.raises(RunError, match="exists and is not empty"):
            train(small_shapes, small_config, out=interrupted.path)
    assert same_weights(resume(interrupted, dataset=small_shapes), finished_run)
    assert not (interrupted.path / ".writer.lock").exists()


def test_a_run_without_a_checkpoint_begins_again(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(finished_run.config.read_bytes())
    assert same_weights(resume(tmp_path / "run", dataset=small_shapes), finished_run)


def test_a_checkpoint_runs_no_code(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(finished_run.config.read_bytes())
    torch.save({"model": Hostile()}, tmp_path / "run" / "resume.pt")
    with pytest.raises(RunError, match="cannot be resumed from"):
        resume(tmp_path / "run", dataset=small_shapes)
    assert not (tmp_path / "made").exists()


def test_checkpoints_are_rarer_where_they_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("visionlib.training.checkpoint.time.perf_counter", lambda: now[0])
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    progress = Progress(torch.zeros(()), torch.zeros(()))
    checkpointer = Checkpointer(Run(tmp_path), 60)
    now[0] = 59.0
    assert not checkpointer.is_due()
    now[0] = 60.0
    assert checkpointer.is_due()
    real = torch.save

    def slow(*arguments: object) -> None:
        now[0] += 3  # which is 1 % of 300 seconds
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "save", slow)
    checkpointer.save(model, optimizer, WeightAverage(model, TrainConfig()), progress)
    now[0] += 299
    assert not checkpointer.is_due()
    now[0] += 1
    assert checkpointer.is_due()
    assert not Checkpointer(Run(tmp_path), 0).is_due()


@pytest.mark.parametrize("limit_bytes", [0, 2_000, 200_000, 400_000])
def test_a_limit_on_the_size_of_files_is_told_and_the_run_goes_on_without_it(
    limit_bytes: int, finished_run: Run, small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path
) -> None:
    """As on a full disk: config, history, checkpoint and weights fail in turn."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot be written \(File too large\); raise the limit") as caught:
            train(small_shapes, small_config.replace(checkpoint_s=0.001), out=tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "run").glob(".*"))
    if limit_bytes > 2_000:
        assert str(caught.value).endswith(f"then: visionlib train --resume {tmp_path / 'run'}")
        assert same_weights(resume(tmp_path / "run", dataset=small_shapes), finished_run)


def begin_small() -> tuple[torch.nn.Module, torch.optim.Optimizer, WeightAverage, Progress]:
    """A network with a buffer that no state dict has, and what a checkpoint holds beside it."""
    model = torch.nn.Linear(1, 1)
    model.register_buffer("cache", torch.zeros(2), persistent=False)
    optimizer = torch.optim.SGD(model.parameters())
    return model, optimizer, WeightAverage(model, TrainConfig()), Progress(torch.zeros(()), torch.zeros(()))


def test_of_several_processes_the_first_one_saves(tmp_path: Path) -> None:
    Checkpointer(Run(tmp_path), 60, ProcessGroup(rank=1, size=2)).save(*begin_small())
    assert not Run(tmp_path).resume.exists()
    Checkpointer(Run(tmp_path), 60, ProcessGroup(rank=0, size=2)).save(*begin_small())
    assert Run(tmp_path).resume.exists()


def test_a_buffer_outside_the_state_comes_back_where_its_shape_is_the_same(tmp_path: Path) -> None:
    model, optimizer, average, progress = begin_small()
    model.get_buffer("cache").fill_(3)
    Checkpointer(Run(tmp_path), 60).save(model, optimizer, average, progress)
    model, optimizer, average, _ = begin_small()
    load_checkpoint(Run(tmp_path), model, optimizer, average, "cpu")
    assert model.get_buffer("cache").tolist() == [3, 3]
    model.register_buffer("cache", torch.ones(5), persistent=False)
    load_checkpoint(Run(tmp_path), model, optimizer, average, "cpu")
    assert model.get_buffer("cache").tolist() == [1] * 5


def test_a_checkpoint_of_several_processes_by_an_earlier_version_is_refused(tmp_path: Path) -> None:
    model, optimizer, average, progress = begin_small()
    run = Run(tmp_path)
    Checkpointer(run, 60).save(model, optimizer, average, progress)
    state = torch.load(run.resume, weights_only=True)
    torch.save({**state, "processes": [state, state]}, run.resume)
    with pytest.raises(RunError, match=r"resume\.pt: cannot be resumed from \(an earlier version wrote it in 2 proc"):
        load_checkpoint(run, model, optimizer, average, "cpu")
