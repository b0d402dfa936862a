"""Time the sum of gradients in a fixed order beside PyTorch's all-reduce, in the processes that torchrun starts.

.venv/bin/torchrun --standalone --nproc-per-node 4 bench/reduction.py [MODEL] [PARTS] [ROUNDS]

Both sum the same gradients in turns, over gloo. Neither computes a forward or backward pass: what the fixed order costs
in a step is the difference. The first process prints medians in milliseconds, and whether all ended with the same bits.
"""

import hashlib
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist

from visionlib.inference.device import choose_compute, compute_environment
from visionlib.models import build_model
from visionlib.training.distributed import connected, find_process_group
from visionlib.training.parts import PartSum

MODEL = sys.argv[1] if len(sys.argv) > 1 else "resnet18"
PARTS = int(sys.argv[2]) if len(sys.argv) > 2 else 8
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 15


def main() -> None:
    """Take turns, and print."""
    group, network = find_process_group(), build_model(MODEL, seed=0)
    parameters = [*network.parameters()]

    def draw(part: int) -> None:
        noise = torch.Generator().manual_seed(part)
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter).normal_(generator=noise)

    def in_order() -> Callable[[], object]:
        step = PartSum(network, group, PARTS, PARTS)
        for part in group.own_parts(PARTS):
            step.begin()
            draw(part)
            step.add(part, torch.zeros(()), torch.zeros((), dtype=torch.int64))
        return step.finish

    def all_reduced() -> Callable[[], object]:
        draw(group.rank)
        return lambda: dist.all_reduce(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))

    seconds: dict[str, list[float]] = {"fixed order": [], "all-reduce": []}
    with compute_environment(choose_compute("cpu", "fp32", 1)), connected(group, "cpu"):
        for _ in range(ROUNDS):
            for name, prepare in (("all-reduce", all_reduced), ("fixed order", in_order)):
                reduce = prepare()
                dist.barrier()
                started = time.perf_counter()
                reduce()
                seconds[name].append(time.perf_counter() - started)
        digest = hashlib.sha256()
        for parameter in parameters:
            assert parameter.grad is not None
            digest.update(parameter.grad.contiguous().numpy().data)
        if group.is_first:
            n = sum(parameter.numel() for parameter in parameters)
            times = ", ".join(f"{name} {1e3 * statistics.median(values):.1f} ms" for name, values in seconds.items())
            sys.stdout.write(
                f"{group.size} processes, {PARTS} parts, {n:,} gradients: {times}; {digest.hexdigest()[:12]}\n"
            )


main()
