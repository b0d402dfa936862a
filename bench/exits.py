"""Count exit codes of trainings in two processes beside two busy loops: uninterrupted, interrupted and resumed ones.

.venv/bin/python bench/exits.py [ROUNDS]

A round is three runs: one to the end, one that gets SIGTERM after its first checkpoint, and its resumption. All
processes are forked from this one, which has imported everything, so that a run takes seconds; they end like those of
`visionlib train --devices 2`. Right is 0 for a finished and 143 for an interrupted one, in both processes.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from PIL import Image

from visionlib.cli import app

NETWORK = """from torch import nn

def tiny(classes, channels):
    features = nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(features, nn.Linear(8, classes))
"""
BUSY_LOOPS = 2
TRAIN = [
    *("train", "pictures", "--model", "networks:tiny", "--batch-size", "16"),
    *("--device", "cpu", "--precision", "fp32"),
]


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


def run_two(arguments: list[str], checkpoint: Path | None = None) -> tuple[int, ...]:
    """Run a command in two processes, interrupted once the checkpoint is there; return their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    for rank in range(2):
        if (process := os.fork()) == 0:
            output = os.open(f"output{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            ranks = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
            os.environ.update(ranks, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
            app.main([*arguments, "--devices", "2"])
        processes.append(process)
    if checkpoint is not None:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in processes:
            os.kill(process, signal.SIGTERM)
    return tuple(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes)


def main() -> None:
    """Take the rounds, and print a line for each kind of run and its exit codes."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    codes: Counter[str] = Counter()
    started = time.perf_counter()
    loops = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_inputs(Path(folder))
        try:
            for _ in range(BUSY_LOOPS):
                if (loop := os.fork()) == 0:
                    while True:
                        pass
                loops.append(loop)
            for number in range(rounds):
                codes[f"plain {run_two([*TRAIN, '--epochs', '2', '--out', f'plain{number}'])}"] += 1
                run = Path(f"interrupted{number}")
                begin = [*TRAIN, "--epochs", "40", "--checkpoint-s", "0.01", "--out", str(run)]
                codes[f"interrupted {run_two(begin, run / 'resume.pt')}"] += 1
                codes[f"resumed {run_two(['train', '--resume', str(run)])}"] += 1
        finally:
            for loop in loops:
                os.kill(loop, signal.SIGKILL)
    sys.stdout.write(f"{3 * rounds} runs in {time.perf_counter() - started:.0f} s; torch {torch.__version__}\n")
    for name, count in sorted(codes.items()):
        sys.stdout.write(f"{count:>6}  {name}\n")


if __name__ == "__main__":
    main()
