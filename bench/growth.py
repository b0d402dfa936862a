"""Measure time and memory against the number of images: n training and n test images of `shapes`, for each n.

.venv/bin/python bench/growth.py [--without STEP,STEP] [N ...]

Without numbers: 10,000 and 100,000. Each step is a process of its own, with one thread; the steps share a run folder in
a temporary place. The network is a tiny one, so that the library's work is measured, and not the network's. Time is CPU
time of the step alone, which other work on the machine hardly changes. Memory is the peak of the process, with the data
(3 kB for each image, which all steps but the map read) and 0.4 GB of Python and torch.
"""

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.shapes import load_shapes
from visionlib.runs import open_run

_NUMBERS = (10_000, 100_000)


class Tiny(nn.Sequential):
    """A network of 5,000 parameters with an embedding of 64 numbers."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 4, 4),
            nn.ReLU(),
            nn.Conv2d(16, 64, 2, 2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, num_classes),
        )


def read_data(folder: Path) -> Dataset:
    """Read what the first step has drawn."""
    splits = {}
    classes = tuple(json.loads((folder / "classes.json").read_text()))
    for name in ("train", "test"):
        images, labels = (torch.from_numpy(np.load(folder / f"{name}-{part}.npy")) for part in ("images", "labels"))
        splits[name] = ImageSplit(images, labels, classes, torch.arange(len(images)))
    return Dataset("shapes", splits, classes)


def draw(folder: Path, n: int) -> None:
    """Draw the data, and keep it for the other steps."""
    data = load_shapes(n_train=n, n_test=n, image_size=32)
    for name, split in data.splits.items():
        np.save(folder / f"{name}-images.npy", split.images.numpy())
        np.save(folder / f"{name}-labels.npy", split.labels.numpy())
    (folder / "classes.json").write_text(json.dumps(data.classes))


def take_step(folder: Path, step: str, n: int) -> dict[str, Any]:
    """Take one step, and return its CPU seconds, the peak memory of this process in GB, and what the step tells."""
    from visionlib.evaluation import evaluate_run, find_groups
    from visionlib.inspection import (
        embedding_duplicates,
        find_candidates,
        find_duplicates,
        find_neighbours,
        map_embeddings,
        score_test,
    )
    from visionlib.inspection.split_embeddings import embed_split
    from visionlib.report import write_report
    from visionlib.training import train

    torch.set_num_threads(1)
    place = folder / "run"
    data = None if step == "draw" else read_data(folder)
    if data is not None:
        data.content_hash  # noqa: B018  every command makes it sure once: not a part of the step
    run = open_run(place) if place.is_dir() and step != "train" else None
    settings = {"epochs": 1, "device": "cpu"}
    steps: dict[str, Callable[[], Any]] = {
        "draw": lambda: draw(folder, n),
        "train": lambda: train(data, settings, model=f"{__file__}:Tiny", init=None, out=place),
        "test": lambda: evaluate_run(run, dataset=data, predict=True),
        "embed": lambda: embed_split(run, "train", dataset=data),
        "neighbours": lambda: f"exact: {find_neighbours(run, dataset=data).is_exact}",
        "map": lambda: map_embeddings(run, dataset=data),
        "candidates": lambda: find_candidates(score_test(run)).save(run),
        "duplicates": lambda: f"exhaustive: {keep_duplicates(run, find_duplicates(data)).is_exhaustive}",
        "close pairs": lambda: embedding_duplicates.find_close_pairs(
            torch.cat([embed_split(run, name).embeddings for name in ("train", "test")])
        ),
        "groups": lambda: find_groups(run, dataset=data),
        "report": lambda: f"page: {write_report(run, dataset=data).size_bytes:,} bytes",
    }
    started = time.process_time()
    told = steps[step]()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "gigabytes": peak, "told": told if isinstance(told, str) else ""}


def keep_duplicates(run: Any, duplicates: Any) -> Any:
    """Save duplicates in the run, and return them."""
    duplicates.save(run)
    return duplicates


STEPS = (
    *("draw", "train", "test", "embed", "neighbours", "map", "candidates", "duplicates", "close pairs", "groups"),
    "report",
)


def measure(n: int, without: set[str]) -> dict[str, dict[str, Any]]:
    """Take the steps for a number of images, each in a process of its own."""
    found, one_thread = {}, {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for step in (step for step in STEPS if step not in without):
            command = [sys.executable, __file__, "--step", step, folder, str(n)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=one_thread)  # noqa: S603
            if done.returncode:
                sys.stdout.write(f"{n:>9,} {step:<12} failed\n")
                continue
            found[step] = json.loads(done.stdout.splitlines()[-1])
            row = f"{found[step]['seconds']:9.1f} {found[step]['gigabytes']:7.2f}  {found[step]['told']}"
            sys.stdout.write(f"{n:>9,} {step:<12} {row}\n")
            sys.stdout.flush()
    return found


def main() -> None:
    """Measure each number of images, and print the exponent of each step between the first and the last."""
    if sys.argv[1:2] == ["--step"]:
        step, folder, n = sys.argv[2:]
        sys.stdout.write(json.dumps(take_step(Path(folder), step, int(n))) + "\n")
        return
    words, without = sys.argv[1:], set()
    if words[:1] == ["--without"]:
        words, without = words[2:], set(words[1].split(","))
    numbers = [int(word.replace(",", "")) for word in words] or list(_NUMBERS)
    sys.stdout.write(f"{'n':>9} {'step':<12} {'CPU s':>9} {'GB':>7}\n")
    tables = [measure(n, without) for n in numbers]
    for step in STEPS:
        if len(numbers) > 1 and all(step in table for table in (tables[0], tables[-1])):
            ratio = tables[-1][step]["seconds"] / tables[0][step]["seconds"]
            sys.stdout.write(f"{step:<12} time grows as n^{math.log(ratio, numbers[-1] / numbers[0]):.2f}\n")


if __name__ == "__main__":
    main()
