"""Measure prediction on a CPU: images per second of networks as they are and folded, in turn in one process.

.venv/bin/python bench/prediction.py [ROUNDS] [THREADS]

Wall-clock time counts, and CPU time beside it: with one thread the latter bears other work on the machine. The
difference is the largest of all logits, over the largest logit.
"""

import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import torch
from torch import Tensor, nn

from visionlib.inference import prediction
from visionlib.inference.device import Compute, choose_compute, compute_environment
from visionlib.inference.folding import folded_network
from visionlib.models import build_model

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TASKS = [
    ("resnet18", 32, 500),
    ("resnet18", 16, 1000),
    ("resnet20", 32, 2000),
    ("resnet9", 32, 500),
    ("cnn8", 32, 1000),
]


def keep_network(model: nn.Module, _precision: str) -> AbstractContextManager[nn.Module]:
    """Fold nothing."""
    return nullcontext(model)


def measure(task: tuple[str, int, int], compute: Compute, rounds: int) -> str:
    """Return a line with the speed of both ways for a network, a side and a number of images."""
    name, side_px, n = task
    images = torch.randint(0, 256, (n, 3, side_px, side_px), dtype=torch.uint8)
    model = build_model(name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    times: dict[str, list[tuple[float, float]]] = {"as it is": [], "folded": []}
    logits: dict[str, Tensor] = {}
    with compute_environment(compute):
        for turn in range(rounds + 1):
            for kind, measured in times.items():
                with patch.object(prediction, "folded_network", keep_network if kind == "as it is" else folded_network):
                    started = time.perf_counter(), time.process_time()
                    logits[kind] = prediction.predict_logits(
                        model, images, mean=MEAN, std=STD, precision=compute.precision
                    )
                    elapsed = time.perf_counter() - started[0], time.process_time() - started[1]
                if turn:  # the first is a warm-up
                    measured.append(elapsed)
    wall, used = ({kind: n / statistics.median(pair[at] for pair in times[kind]) for kind in times} for at in (0, 1))
    ratio = statistics.median(
        before[0] / after[0] for before, after in zip(times["as it is"], times["folded"], strict=True)
    )
    difference = float((logits["folded"] - logits["as it is"]).abs().max() / logits["as it is"].abs().max())
    gains = (ratio, used["folded"] / used["as it is"])
    rows = [
        f"{speed['as it is']:>13.0f}{speed['folded']:>13.0f}{gain:>13.2f}"
        for speed, gain in zip((wall, used), gains, strict=True)
    ]
    return f"{name + f' {side_px} px':<18}" + "".join(rows) + f"{difference:>13.1e}"


def main() -> None:
    """Measure every task and print a table."""
    rounds, threads = (int(text) for text in [*sys.argv[1:3], *["7", "0"][len(sys.argv) - 1 :]])
    for precision in ("bf16", "fp32"):
        compute = choose_compute("cpu", precision, threads)
        sys.stdout.write(f"{compute}; torch {torch.__version__}; median of {rounds}, images per second\n")
        headers = ("as it is", "folded", "times", "by CPU time", "folded", "times", "difference")
        sys.stdout.write(f"{'':<18}" + "".join(f"{header:>13}" for header in headers) + "\n")
        for task in TASKS:
            sys.stdout.write(measure(task, compute, rounds) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
