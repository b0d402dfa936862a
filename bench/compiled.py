"""Measure what torch.compile is worth to a training step, and what it costs before the first one.

.venv/bin/python bench/compiled.py [SIDE_PX] [ROUNDS]

Both take turns; the step is that of the recipe `quick`, data included. On a processor compiling needs a C++ compiler.
"""

import statistics
import sys
import time

import torch
from torch import nn

from visionlib.models import build_model
from visionlib.training import choose_compute, recipe_config
from visionlib.training.batches import epoch_batches
from visionlib.training.device import prepared_process
from visionlib.training.loop import Fit, train_step
from visionlib.training.optimizer import make_optimizer
from visionlib.training.small_maps import small_maps_as_products

from training import noise_split  # isort: skip  beside this file

STEPS = 4


def main() -> None:
    """Time the steps of both in turn, and print the medians."""
    side_px, rounds = (*map(int, sys.argv[1:]), *(24, 3)[len(sys.argv[1:]) :])
    split, compute, config = noise_split(), choose_compute(), recipe_config("quick")
    fit = Fit(split, config, compute, split.mean, split.std)
    batches = epoch_batches(split, config.batch_size, seed=0, epoch=0)
    plain = build_model("resnet18").to(compute.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    models: dict[str, nn.Module] = {"eager": plain, "compiled": torch.compile(plain)}  # type: ignore[dict-item]
    times: dict[str, list[float]] = {name: [] for name in models}
    first: dict[str, float] = {}
    with prepared_process(compute), small_maps_as_products(plain, compute.device):
        optimizer = make_optimizer(plain, config, fit.number_format)
        for turn in range(rounds + 1):
            for name, model in models.items():
                for step in range(STEPS):
                    started = time.perf_counter()
                    loss, _ = train_step(model, optimizer, fit, batches[step], 0, side_px, 0.0)
                    loss.item()
                    seconds = time.perf_counter() - started
                    first.setdefault(name, seconds)
                    if turn and step:
                        times[name].append(seconds)
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {side_px} px, batches of {config.batch_size}\n")
    for name, found in times.items():
        median = statistics.median(found)
        sys.stdout.write(f"{name:<10}{config.batch_size / median:>8.0f} images/s, first step {first[name]:.1f} s\n")


if __name__ == "__main__":
    main()
