"""Measure what recording a step and torch.compile are worth to it, and what they cost before the first one.

.venv/bin/python bench/compiled.py [SIDE_PX] [ROUNDS]

They take turns; the step is that of the recipe `quick` on a processor, and that of `best` on a GPU, data included. On
a processor nothing is recorded, and compiling needs a C++ compiler.
"""

import statistics
import sys
import time

import torch
from torch import Tensor

from visionlib.models import build_model
from visionlib.training import TrainConfig, choose_compute, recipe_config
from visionlib.training.batches import epoch_batches, shown_batches
from visionlib.training.device import prepared_process
from visionlib.training.fit import Fit
from visionlib.training.optimizer import make_optimizer
from visionlib.training.small_maps import small_maps_as_products
from visionlib.training.step import TrainingStep

from training import noise_split  # isort: skip  beside this file

STEPS = {"cpu": 4, "cuda": 60}


def prepare(name: str, config: TrainConfig, side_px: int) -> tuple[TrainingStep, list[tuple[Tensor, Tensor]], float]:
    """Give a step of one kind, its batches, and the seconds until its first one is done."""
    compute, split = choose_compute(), noise_split()
    config = config.replace(compile="compiled" in name, cuda_graphs="auto" if "recorded" in name else "off")
    fit = Fit(split.to(compute.device), config, compute, split.mean, split.std)
    batches = epoch_batches(fit.split, config.batch_size, seed=0, epoch=0)
    chosen = [batch for batch in batches if len(batch) == len(batches[0])][: STEPS[compute.device]]
    shown = list(shown_batches(fit.split, chosen, config, 0))
    model = build_model("resnet18").to(compute.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    started = time.perf_counter()
    take_step = TrainingStep(model, make_optimizer(model, config, fit.number_format), fit)
    with prepared_process(compute), small_maps_as_products(model, compute.device):
        take_step.capture([(len(batches[0]), side_px)])
        take_step(*shown[0], side_px=side_px, learning_rate=0.0)[0].item()
    return take_step, shown, time.perf_counter() - started


def main() -> None:
    """Time the steps of all kinds in turn, and print the medians."""
    side_px, rounds = (*map(int, sys.argv[1:]), *(24, 3)[len(sys.argv[1:]) :])
    compute = choose_compute()
    kinds = ("plain", "recorded", "compiled and recorded") if compute.device == "cuda" else ("plain", "compiled")
    config = recipe_config("best" if compute.device == "cuda" else "quick")
    made = {name: prepare(name, config, side_px) for name in kinds}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    with prepared_process(compute):
        for _ in range(rounds):
            for name, (take_step, shown, _) in made.items():
                started = time.perf_counter()
                for images, labels in shown:
                    loss, _ = take_step(images, labels, side_px=side_px, learning_rate=0.0)
                loss.item()  # a GPU is asked for it, and so has finished
                times[name].append((time.perf_counter() - started) / sum(len(labels) for _, labels in shown))
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {side_px} px, batches of {config.batch_size}\n")
    for name, found in times.items():
        rate = 1 / statistics.median(found)
        sys.stdout.write(f"{name:<24}{rate:>10,.0f} images/s, first step {made[name][2]:.1f} s\n")


if __name__ == "__main__":
    main()
