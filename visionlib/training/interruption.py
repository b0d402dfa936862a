"""Signals during a training: the step is finished and saved before the process ends."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""The last one comes where a terminal or a connection closes; Windows has none."""


class Interruption:
    """A signal that asks the process to end, if one came."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def end(self) -> NoReturn:
        """End as by the signal: with KeyboardInterrupt, or with exit code 128 + its number."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + (self.signal or 0))


@contextmanager
def deferred_signals(*, is_one_of_several: bool = False) -> Iterator[Interruption]:
    """Record SIGINT, SIGTERM and SIGHUP instead of ending, while the block runs; a second one ends the process at once.

    In one of several processes a second one does not: a terminal signals all of them, and their launcher once more.
    Outside of the main thread, where Python does not handle signals, nothing changes.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def defer(number: int, frame: FrameType | None) -> None:
        if interruption.signal is not None and not is_one_of_several:
            interruption.end()
        interruption.signal = number

    before: dict[signal.Signals, Any] = {}
    for number in _SIGNALS:
        # A shell ignores signals for background jobs on purpose.
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, defer)
    try:
        yield interruption
    except RuntimeError:
        if is_one_of_several and interruption.signal is not None:
            interruption.end()  # another process is gone, and the launcher ends this one for it
        raise
    finally:
        for deferred, handler in before.items():
            signal.signal(deferred, handler)
