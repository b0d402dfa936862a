"""Any operation on a run's files may fail, or be the process's last: a line tells it, and nothing of the run is lost.

A sample of what `bench.chaos` and `bench.failing_writes` do with every operation.
"""

import errno
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.chaos import find_torn, read_files
from bench.disk_faults import HALT, SHORT, Fault, watching
from visionlib.data import Dataset, load_shapes
from visionlib.errors import RunError
from visionlib.runs import Run, create_run
from visionlib.training import TrainConfig, checkpoint, resume, train

FEW = 4
"""Operations of a hundred that a test takes, at other places for each kind of failure."""


class Tiny(nn.Sequential):
    """The smallest network that learns."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.append(nn.Linear(4, num_classes))


@pytest.fixture(scope="module")
def images() -> Dataset:
    return load_shapes(n_train=40, n_test=20, image_size=16)


@pytest.fixture(scope="module", autouse=True)
def save_after_every_step() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoint, "_MAX_TIME_FRACTION", math.inf)
        yield


@pytest.fixture(scope="module")
def begin(images: Dataset) -> Callable[[Path], Run]:
    compute: dict[str, Any] = {"device": "cpu", "precision": "fp32", "kernels": "off", "threads": 1}
    config = TrainConfig(epochs=1, batch_size=20, checkpoint_s=1e-6, **compute)
    return lambda out: train(images, config, model=Tiny, out=out)


@pytest.fixture(scope="module")
def whole(begin: Callable[[Path], Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], int]:
    """The files of an uninterrupted run, and the number of operations on them."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with watching(folder, Fault()) as fault:
        begin(folder)
    assert len(fault.operations) > 100
    return read_files(folder), len(fault.operations)


def go_on(run: Run, begin: Callable[[Path], Run], images: Dataset) -> None:
    if not run.config.exists():
        begin(run.path)
    elif not run.training.exists():
        resume(run, model=Tiny, dataset=images)


def try_to_begin(run: Run, fault: Fault, begin: Callable[[Path], Run]) -> str | None:
    """Return what is told; None where the failure does no harm."""
    try:
        with watching(run.path, fault):
            begin(run.path)
    except RunError as error:
        return str(error)
    return None


@pytest.mark.parametrize("how", [errno.ENOSPC, errno.EIO, errno.EACCES, SHORT])
def test_an_operation_that_fails_is_told_and_costs_nothing(
    how: int | str,
    begin: Callable[[Path], Run],
    whole: tuple[dict[str, object], int],
    images: Dataset,
    tmp_path: Path,
) -> None:
    files, operations = whole
    kinds = [errno.ENOSPC, errno.EIO, errno.EACCES, SHORT]
    told = 0
    for at in range(4 * kinds.index(how), operations, operations // FEW):
        run = Run(tmp_path / f"run{at}")
        fault = Fault(at, how)
        message = try_to_begin(run, fault, begin)
        told += message is not None
        assert message is None or ("cannot be" in message and "\n" not in message)
        assert len(fault.operations) > at
        assert fault.operations[at].kind == "change" or not list(run.path.glob(".*.tmp"))
        assert find_torn(run.path) == []
        go_on(run, begin, images)
        assert read_files(run.path) == files
    assert told >= FEW - 2  # a folder that cannot be flushed does no harm


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL is POSIX's")
def test_a_kill_during_an_operation_costs_nothing(
    begin: Callable[[Path], Run], whole: tuple[dict[str, object], int], images: Dataset, tmp_path: Path
) -> None:
    files, operations = whole
    for at in range(3, operations, operations // FEW):
        run = Run(tmp_path / f"run{at}")
        if (process := os.fork()) == 0:
            torch.set_num_threads(1)
            try:
                with watching(run.path, Fault(at, HALT)):
                    begin(run.path)
            finally:
                os._exit(0)  # not reached
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        assert find_torn(run.path) == []
        go_on(run, begin, images)
        assert read_files(run.path) == files


def test_a_run_that_was_killed_before_its_settings_were_written_begins_with_the_same_command(
    begin: Callable[[Path], Run], whole: tuple[dict[str, object], int], tmp_path: Path
) -> None:
    run = create_run(tmp_path / "run")
    for name in (".writer.lock", ".config.json.abc.tmp"):
        (run.path / name).touch()
    begin(run.path)
    assert read_files(run.path) == whole[0]
    with pytest.raises(RunError, match="exists and is not empty"):
        begin(run.path)


@pytest.mark.parametrize(
    "lost", [("training.json", "history.png"), ("training.json", "network.py.txt"), ("training.json", "summary.json")]
)
def test_a_run_that_was_killed_between_two_records_ends_with_all_of_them(
    lost: tuple[str, ...],
    begin: Callable[[Path], Run],
    whole: tuple[dict[str, object], int],
    images: Dataset,
    tmp_path: Path,
) -> None:
    run = begin(tmp_path / "run")
    for name in lost:
        (run.path / name).unlink()
    for name in (".sources.npz.a.tmp", ".history.png.b.tmp", ".summary.json.c.tmp", ".validation.npz.d.tmp"):
        (run.path / name).touch()
    resume(run, model=Tiny, dataset=images)
    assert read_files(run.path) == whole[0]
