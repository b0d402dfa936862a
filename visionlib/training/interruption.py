"""Signals while a training runs: the step is finished and saved before the process ends."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether a signal came that asks the process to end."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def end(self) -> NoReturn:
        """End as the signal would have: as KeyboardInterrupt, or with 128 and its number."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + (self.signal or 0))


@contextmanager
def noticed_signals(*, is_one_of_several: bool = False) -> Iterator[Interruption]:
    """Notice SIGINT and SIGTERM instead of ending at once, while the block runs; a second one ends at once.

    Not so in one of several processes: a terminal signals them all, and their launcher does so once more.

    Outside of the main thread, where Python lets nobody handle signals, nothing is noticed.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def notice(number: int, frame: FrameType | None) -> None:
        if interruption.signal is not None and not is_one_of_several:
            interruption.end()
        interruption.signal = number

    before: dict[int, Any] = {}
    for number in _SIGNALS:
        # Who has a signal ignored, such as a shell for what runs in the background, means it.
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, notice)
    try:
        yield interruption
    except RuntimeError:
        if is_one_of_several and interruption.signal is not None:
            interruption.end()  # another process is gone, and the launcher ends this one for it
        raise
    finally:
        for noticed, handler in before.items():
            signal.signal(noticed, handler)
