"""A run has one writer; the next one is told who it is, and takes over from one that was killed."""

import errno
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from visionlib.errors import RunError
from visionlib.runs import Run, create_run, lock
from visionlib.runs.lock import writing

HOLD = """
import sys, time
from pathlib import Path
from visionlib.runs import Run
from visionlib.runs.lock import writing
with writing(Run(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "run")


@pytest.fixture
def holder(run: Run) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_who_the_first_one_is(run: Run, holder: subprocess.Popen[str]) -> None:
    message = rf"is being written by process {holder.pid} on .* since \d{{4}}-.*; wait for it, or stop it; .*--out"
    with pytest.raises(RunError, match=message), writing(run):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process(how: int, run: Run, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, how)
    holder.wait()
    assert len(list(run.path.iterdir())) == 1  # the file of the one that was killed
    with writing(run):
        pass
    assert list(run.path.iterdir()) == []


def test_an_error_ends_it_too_and_a_removed_folder_is_none(run: Run) -> None:
    with pytest.raises(KeyError), writing(run):
        raise KeyError
    assert list(run.path.iterdir()) == []
    with writing(run):
        next(run.path.iterdir()).unlink()
        run.path.rmdir()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone: cannot be written \(No such file or directory\)"):
        writing(Run(tmp_path / "gone")).__enter__()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"x"', "\xff"])
def test_an_owner_without_a_name_is_another_process(content: str, run: Run, holder: subprocess.Popen[str]) -> None:
    (run.path / ".writer.lock").write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match="is being written by another process"), writing(run):
        pass


def test_of_many_writers_that_hand_over_one_at_a_time_is_inside(run: Run) -> None:
    inside, most, entered, refused = 0, 0, 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most, entered, refused
        for _ in range(200):
            try:
                with writing(run):
                    with counting:
                        inside, entered = inside + 1, entered + 1
                        most = max(most, inside)
                    with counting:
                        inside -= 1
            except RunError:
                with counting:
                    refused += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered + refused == 800
    assert entered > 0


def test_a_new_writer_removes_what_a_killed_one_was_writing(run: Run) -> None:
    for name in (".resume.pt.abc.tmp", ".model.safetensors.x.tmp", ".evaluation.json.y.tmp", "resume.pt"):
        (run.path / name).touch()
    with writing(run):
        left = {file.name for file in run.path.iterdir()} - {".writer.lock"}
    assert left == {".evaluation.json.y.tmp", "resume.pt"}  # the writer of an evaluation may be at work


@pytest.mark.parametrize("has_module", [True, False])
def test_where_a_file_system_or_a_system_has_no_locks_nothing_is_held(
    has_module: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if has_module:
        monkeypatch.setattr("visionlib.runs.lock.fcntl.flock", refuse)
    else:
        monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it raises, as on Windows
        monkeypatch.setattr("visionlib.runs.lock.fcntl", runpy.run_path(str(lock.__file__))["fcntl"])
    with writing(run), writing(run):
        assert run.lock.exists()
    assert list(run.path.iterdir()) == []
