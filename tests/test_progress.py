import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from visionlib import progress
from visionlib.progress import is_notebook, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("decoding", 10, "images") as show:
        show(5)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_how_far_it_is_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar("decoding train", 1000, "images") as show:
        show(400, "loss 1.5")
    assert "decoding train" in terminal.getvalue()
    assert "400/1,000 images" in terminal.getvalue()
    assert "loss 1.5" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_dumb_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with progress_bar("decoding", 10, "images") as show:
        show(5)
    assert terminal.getvalue() == ""


class Handle:
    """Stands for an output of a notebook, and remembers all that it showed."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A process that looks like the kernel of a notebook."""
    handle = Handle()

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert display_id
        handle.update(data, raw=raw)
        return handle

    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    ipython.display = ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return handle


def test_a_notebook_shows_how_far_it_is_and_is_tidy_afterwards(
    notebook: Handle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_NOTEBOOK_PAUSE_S", 0.0)
    with progress_bar("epoch 1/3 <b>", 1000, "images") as show:
        show(400, "loss 1.5")
    begun, half, cleared = [data["text/html"] for data in notebook.shown]
    assert "0/1,000 images" in begun
    assert "epoch 1/3 &lt;b&gt;" in half
    assert "400/1,000 images" in half
    assert "loss 1.5" in half
    assert cleared == ""
    assert capsys.readouterr() == ("", "")


def test_a_notebook_is_not_flooded(notebook: Handle) -> None:
    with progress_bar("epoch", 1000, "images") as show:
        for done in range(1000):
            show(done)
    assert len(notebook.shown) < 20


def test_a_bar_is_cleared_also_when_the_work_fails(notebook: Handle) -> None:
    with pytest.raises(KeyboardInterrupt), progress_bar("epoch", 10, "images"):
        raise KeyboardInterrupt
    assert notebook.shown[-1] == {"text/html": "", "text/plain": ""}


def test_python_at_a_prompt_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_notebook()
    for shell in (None, SimpleNamespace()):
        ipython: Any = ModuleType("IPython")
        ipython.get_ipython = lambda shell=shell: shell
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert not is_notebook()


def test_a_bar_within_another_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar("outside", 10, "images") as show:
        with progress_bar("inside", 10, "images") as show_part:
            show_part(5)
        show(5)
    assert "outside" in terminal.getvalue()
    assert "inside" not in terminal.getvalue()
    with progress_bar("afterwards", 10, "images") as show:
        show(5)
    assert "afterwards" in terminal.getvalue()
