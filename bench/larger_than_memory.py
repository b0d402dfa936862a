"""Train on a set four times the allowed memory, and on the same set in memory, in turns.

    .venv/bin/python bench/larger_than_memory.py --images 500000 --side 64 --memory-gib 1.43

Two processes take turns of a few steps. One may hold `--memory-gib` of images in memory (visionlib's own limit) and so
maps the set from its cache, whose pages are dropped from the system's cache before every turn: each image comes from
the disk. The other one holds the set in memory. A few thousand images are drawn, and repeated: pixels change no time.
Before that, the same without a network: gathering and augmenting alone. On a busy machine the milliseconds of CPU time
per image tell more than the images a second.
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_BLOCK = 4096
_MADV_DONTNEED = 4


def build_split(args: argparse.Namespace) -> Any:
    """Return the set, in memory or mapped from the cache as the limit of this process has it."""
    import torch

    from visionlib.data import ImageSplit, load_shapes
    from visionlib.data.cache import build_images

    drawn = load_shapes(image_size=args.side, n_train=args.drawn, n_test=1).train
    shape = (args.images, *drawn.images.shape[1:])

    def fill(images: Any) -> None:
        for start in range(0, args.images, _BLOCK):
            at = torch.arange(start, min(start + _BLOCK, args.images)) % args.drawn
            images[start : start + len(at)] = drawn.images[at].numpy()

    images = build_images(shape, fill, lambda: f"larger than memory {args.drawn}")
    index = torch.arange(args.images)
    return ImageSplit(images, drawn.labels[index % args.drawn], drawn.classes, index)


def read_memory() -> dict[str, float]:
    """Return the process's anonymous memory, and its pages of files, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def drop_pages(images: Any) -> None:
    """Unmap the pages of a mapped tensor, and drop its file from the system's cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = resource.getpagesize()
    first = -(-images.data_ptr() // page) * page
    libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(images.nbytes // page * page - page), _MADV_DONTNEED)
    for path in Path(os.environ["VISIONLIB_CACHE"]).rglob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def work(args: argparse.Namespace) -> None:
    """Take a turn of steps for every line on stdin."""
    import torch

    from visionlib.data.cache import memory_limit
    from visionlib.training.batches import augmented_batches, epoch_batches
    from visionlib.training.job import TrainingJob, choose_training_compute
    from visionlib.training.optimizer import make_optimizer
    from visionlib.training.recipes import recipe_config
    from visionlib.training.step import TrainingStep

    if args.child == "mapped":
        # Not RLIMIT_DATA, which counts the mapping itself.
        os.environ["VISIONLIB_MEMORY_FRACTION"] = "1"
        os.environ["VISIONLIB_MEMORY_FRACTION"] = str(args.memory_gib * 2**30 / memory_limit())
    else:
        os.environ["VISIONLIB_MEMORY_FRACTION"] = "1"
    split = build_split(args)
    config = recipe_config("fast", model=args.model, batch_size=args.batch_size, device="cpu", threads=args.threads)
    compute = choose_training_compute(config)
    job = TrainingJob(split, config, compute, (0.5,) * 3, (0.25,) * 3)
    model = job.build_model().train()
    step = TrainingStep(model, make_optimizer(model, config, compute.dtype), job)
    batches = epoch_batches(split, config.batch_size, seed=0, epoch=0)
    torch.set_num_threads(compute.threads)
    _write(json.dumps({"size_gib": split.images.nbytes / 2**30, "compute": str(compute)}))
    at = 0
    for kind in map(str.strip, sys.stdin):
        count = args.steps if kind == "train" else 4 * args.steps
        if args.child == "mapped":
            drop_pages(split.images)
        started, cpu, done = time.perf_counter(), time.process_time(), 0
        for images, labels in augmented_batches(split, batches[at : at + count], config):
            if kind == "train":
                step(images, labels, side_px=args.side, learning_rate=0.01)
            done += len(labels)
        at = (at + count) % (len(batches) - 10 * count)
        taken, worked = time.perf_counter() - started, time.process_time() - cpu
        _write(json.dumps({"rate": done / taken, "cpu_ms": 1000 * worked / done, **read_memory()}))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def start(args: argparse.Namespace, child: str, cache: str) -> "subprocess.Popen[str]":
    """Start one of the two processes."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", child]
    environment = {**os.environ, "VISIONLIB_CACHE": cache}
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def ask(process: "subprocess.Popen[str]", line: str = "") -> dict[str, Any]:
    """Send a line, and return the answer."""
    if line:
        process.stdin.write(f"{line}\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    return dict(json.loads(process.stdout.readline()))  # type: ignore[union-attr]


def main() -> None:
    """Print the medians of the turns, and the memory of the first and the last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--drawn", type=int, default=2000, help="images that are drawn, and repeated")
    parser.add_argument("--memory-gib", type=float, default=1.43)
    parser.add_argument("--model", default="cnn8")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2, help="per turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", help="folder that keeps the set for another time")
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        work(args)
        return
    with tempfile.TemporaryDirectory() as temporary:
        processes = {name: start(args, name, args.cache or temporary) for name in ("mapped", "memory")}
        for name, process in processes.items():
            _write(f"{name} {ask(process)}")
        for kind in ("batches", "train"):
            turns: list[dict[str, dict[str, Any]]] = []
            for turn in range(args.turns + 1):
                order = list(processes) if turn % 2 else list(processes)[::-1]
                turns.append({name: ask(processes[name], kind) for name in order})
                _write(f"{kind} {json.dumps(turns[-1])}")
            for value in ("rate", "cpu_ms"):
                medians = {name: statistics.median(turn[name][value] for turn in turns[1:]) for name in processes}
                _write(f"{kind}: median {value} {medians}")
            ratio = statistics.median(turn["mapped"]["rate"] / turn["memory"]["rate"] for turn in turns[1:])
            anonymous = [turn["mapped"]["RssAnon"] for turn in turns[1:]]
            _write(f"{kind}: median of the paired ratios of rates {ratio:.3f}")
            _write(f"{kind}: anonymous memory of the mapped process {min(anonymous):.0f} to {max(anonymous):.0f} MiB")
        for process in processes.values():
            process.communicate("")


if __name__ == "__main__":
    main()
