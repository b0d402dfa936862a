import io
import sys

import pytest

from visionlib.progress import progress_bar


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
