"""Run commands in processes that are forked from one that has imported everything: in tenths of a second, not in three.

They end like those of `visionlib` itself, and find each other like those of `visionlib train --devices 2`.
"""

import contextlib
import importlib
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from visionlib.cli import app
from visionlib.drawing.figure_file import encode_figure
from visionlib.training import checkpoint, history_picture

for module in ("torch._dynamo", "matplotlib.backends.backend_agg", "sklearn.neighbors", "scipy.stats", "jinja2"):
    importlib.import_module(module)  # which commands import late

NETWORK = """from torch import nn

def tiny(classes, channels):
    features = nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(features, nn.Linear(8, classes))
"""
TRAIN = (
    *("train", "pictures", "--model", "networks:tiny", "--batch-size", "16"),
    *("--device", "cpu", "--precision", "fp32"),
)
_GRACE_S = 10.0


def save_after_every_step() -> None:
    """Let trainings of this process and its forks write checkpoints after every step, and spend their time on files.

    Drawing the history would take four fifths of such a run; it is drawn once.
    """
    checkpoint._MAX_TIME_FRACTION = math.inf
    figure = history_picture.draw_history([{"epoch": 1, "loss": 1.0, "training_accuracy": 0.5, "resolution_px": 16}])
    drawn = encode_figure(figure, ".png")
    history_picture.encode_figure = lambda *_: drawn  # type: ignore[attr-defined]


def write_inputs(folder: Path) -> None:
    """Write a network, and 78 pictures of two brightnesses."""
    (folder / "networks.py").write_text(NETWORK)
    noise = np.random.default_rng(0)
    for split, n in (("train", 31), ("test", 8)):
        for brightness, name in enumerate(("dark", "bright")):
            (folder / "pictures" / split / name).mkdir(parents=True)
            for number in range(n):
                pixels = (noise.integers(0, 100, (16, 16, 3)) + 100 * brightness).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"pictures/{split}/{name}/{number}.png")


def start(
    arguments: Sequence[str],
    count: int = 1,
    *,
    output: str = "output",
    around: Callable[[int], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> list[int]:
    """Start a command in one process or several.

    Args:
        arguments: of the command.
        count: number of processes.
        output: path of a file for what each writes; the rank is added.
        around: entered by each process around its command, called with the rank.
    Returns:
        The processes, by rank.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    for rank in range(count):
        if (process := os.fork()) == 0:
            _become(arguments, rank, count, port, output, around)
        processes.append(process)
    return processes


def _become(
    arguments: Sequence[str],
    rank: int,
    count: int,
    port: str,
    output: str,
    around: Callable[[int], contextlib.AbstractContextManager[object]],
) -> None:
    code = 70
    try:
        file = os.open(f"{output}{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        torch.set_num_threads(1)
        words = [*arguments]
        if count > 1:
            ranks = {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
            os.environ.update(ranks, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
            words += ["--devices", str(count)]
        sys.argv = ["visionlib", *words]
        with around(rank):
            app.main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # the interpreter's end would take a third of a second to free what the parent imported


def wait(processes: Sequence[int]) -> list[int]:
    """Wait for all; once one has not ended well, end the others as a launcher does. Return exit codes, by rank."""
    codes: dict[int, int] = {}
    deadline = None
    while len(codes) < len(processes):
        for process in processes:
            if process not in codes:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    codes[process] = os.waitstatus_to_exitcode(status)
        left = [process for process in processes if process not in codes]
        if left and deadline is None and any(codes.values()):
            deadline = time.monotonic() + _GRACE_S
            for process in left:
                os.kill(process, signal.SIGTERM)
        if left and deadline is not None and time.monotonic() > deadline:
            for process in left:
                os.kill(process, signal.SIGKILL)
        time.sleep(0.002)
    return [codes[process] for process in processes]


def run(arguments: Sequence[str], count: int = 1) -> tuple[int, str]:
    """Run a command to its end; return the first exit code that is not 0, if any, and what the first process wrote."""
    codes = wait(start(arguments, count))
    return next((code for code in codes if code), 0), Path("output0").read_text(errors="replace")
