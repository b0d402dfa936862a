"""Measure what recording a step and torch.compile are worth to it, and what they cost before the first one.

.venv/bin/python bench/compiled.py [SIDE_PX] [ROUNDS]

They take turns; the step is that of the recipe `quick` on a processor, and that of `best` on a GPU, data included. On
a processor nothing is recorded, and compiling needs a C++ compiler.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn
from visionlib.training.cpu.accelerated import fast_convolutions

from visionlib.inference.device import choose_compute, compute_environment
from visionlib.models import build_model
from visionlib.training import TrainConfig, recipe_config
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep

from training import noise_split  # isort: skip  beside this file

STEPS = {"cpu": 4, "cuda": 60}


@dataclass
class Contender:
    """A step of one kind, with its own network and data."""

    model: nn.Module
    take_step: TrainingStep
    fit: TrainingJob
    first_s: float = 0.0
    """Seconds until its first step is done, what is recorded or compiled included."""

    def take(self, side_px: int, steps: int) -> float:
        """Take so many steps; give the seconds per image, data included."""
        config, started = self.fit.config, time.perf_counter()
        batches = epoch_batches(self.fit.split, config.batch_size, seed=0, epoch=0)[:steps]
        with fast_convolutions(self.model, self.fit.compute):
            for images, labels in augmented_batches(self.fit.split, batches, config, 0):
                loss, _ = self.take_step(images, labels, side_px=side_px, learning_rate=0.0)
            loss.item()  # a GPU is asked for it, and so has finished
        return (time.perf_counter() - started) / sum(map(len, batches))


def prepare(name: str, config: TrainConfig, side_px: int) -> Contender:
    """Make one kind of step, and take the first one."""
    compute, split = choose_compute(kernels="off" if "compiled" in name else "auto"), noise_split()
    config = config.replace(compile="compiled" in name, cuda_graphs="auto" if "recorded" in name else "off")
    fit = TrainingJob(split.to(compute.device), config, compute, split.mean, split.std)
    model = build_model("resnet18").to(compute.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    contender = Contender(model, TrainingStep(model, make_optimizer(model, config, fit.number_format), fit), fit)
    largest = -(-len(split) // fit.steps_per_epoch)
    started = time.perf_counter()
    contender.take_step.capture([(largest, side_px, False)])
    contender.take(side_px, 1)
    contender.first_s = time.perf_counter() - started
    return contender


def main() -> None:
    """Time the steps of all kinds in turn, and print the medians."""
    side_px, rounds = (*map(int, sys.argv[1:]), *(24, 3)[len(sys.argv[1:]) :])
    compute = choose_compute(kernels="auto")
    kinds = ("plain", "recorded", "compiled and recorded") if compute.device == "cuda" else ("plain", "compiled")
    config = recipe_config("best" if compute.device == "cuda" else "quick")
    with compute_environment(compute):
        contenders = {name: prepare(name, config, side_px) for name in kinds}
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, contender in contenders.items():
                times[name].append(contender.take(side_px, STEPS[compute.device]))
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {side_px} px, batches of {config.batch_size}\n")
    for name, found in times.items():
        rate, first_s = 1 / statistics.median(found), contenders[name].first_s
        sys.stdout.write(f"{name:<24}{rate:>10,.0f} images/s, first step {first_s:.1f} s\n")


if __name__ == "__main__":
    main()
