"""Count exit codes of trainings in two processes beside two busy loops: uninterrupted, interrupted and resumed ones.

.venv/bin/python -m bench.exits [ROUNDS]

A round is three runs: one to the end, one that gets SIGTERM after its first checkpoint, and its resumption. All
processes are forked from this one, which has imported everything, so that a run takes seconds; they end like those of
`visionlib train --devices 2`. Right is 0 for a finished and 143 for an interrupted one, in both processes.
"""

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
import torch.distributed

from bench import forked

BUSY_LOOPS = 2


def run_two(arguments: list[str], checkpoint: Path | None = None) -> tuple[int, ...]:
    """Run a command in two processes, interrupted once the checkpoint is there; return their exit codes."""
    processes = forked.start(arguments, 2)
    if checkpoint is not None:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in processes:
            os.kill(process, signal.SIGTERM)
    return tuple(forked.wait(processes))


def main() -> None:
    """Take the rounds, and print a line for each kind of run and its exit codes."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    codes: Counter[str] = Counter()
    started = time.perf_counter()
    loops = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        forked.write_inputs(Path(folder))
        try:
            for _ in range(BUSY_LOOPS):
                if (loop := os.fork()) == 0:
                    while True:
                        pass
                loops.append(loop)
            for number in range(rounds):
                codes[f"plain {run_two([*forked.TRAIN, '--epochs', '2', '--out', f'plain{number}'])}"] += 1
                run = Path(f"interrupted{number}")
                begin = [*forked.TRAIN, "--epochs", "40", "--checkpoint-s", "0.01", "--out", str(run)]
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
