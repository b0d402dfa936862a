"""Measure the gain of CUDA graphs and of torch.compile for a training step, and their cost before the first one.

.venv/bin/python bench/compiled.py [SIDE_PX] [ROUNDS]

They take turns; the step is that of the recipe `quick` on a CPU, and that of `best` on a GPU, data included. On a CPU
nothing is recorded, and compiling needs a C++ compiler.
"""

import statistics
import sys
import time
from dataclasses import dataclass

import torch

from visionlib.inference.device import compute_environment
from visionlib.models import build_model
from visionlib.training import TrainConfig, recipe_config
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.config import Graphs, Kernels
from visionlib.training.cuda_graphs import StepKind
from visionlib.training.job import TrainingJob, choose_training_compute
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep

from training import noise_split  # isort: skip  beside this file

STEPS = {"cpu": 4, "cuda": 60}


@dataclass
class Contender:
    """A step of one kind, with its own network and data."""

    take_step: TrainingStep
    job: TrainingJob
    first_s: float = 0.0
    """Seconds until its first step is done, with recording and compiling."""

    def take(self, side_px: int, steps: int) -> float:
        """Take a number of steps; return the seconds per image, data included."""
        config, started = self.job.config, time.perf_counter()
        batches = epoch_batches(self.job.split, config.batch_size, seed=0, epoch=0)[:steps]
        for images, labels in augmented_batches(self.job.split, batches, config):
            loss, _ = self.take_step(images, labels, side_px=side_px, learning_rate=0.0)
        loss.item()  # waits for a GPU
        return (time.perf_counter() - started) / sum(map(len, batches))


def prepare(name: str, config: TrainConfig, side_px: int) -> Contender:
    """Make one kind of step, and take the first one."""
    kernels: Kernels = "off" if "compiled" in name else "auto"
    graphs: Graphs = "auto" if "recorded" in name else "off"
    config = config.replace(compile="compiled" in name, cuda_graphs=graphs, kernels=kernels)
    compute, split = choose_training_compute(config), noise_split()
    job = TrainingJob(split.to(compute.device), config, compute, split.mean, split.std)
    model = build_model("resnet18").to(compute.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    contender = Contender(TrainingStep(model, make_optimizer(model, config, compute.dtype), job), job)
    largest = -(-len(split) // job.steps_per_epoch)
    started = time.perf_counter()
    contender.take_step.record([StepKind(largest, side_px, is_sam=False)])
    contender.take(side_px, 1)
    contender.first_s = time.perf_counter() - started
    return contender


def main() -> None:
    """Time the steps of all kinds in turn, and print the medians."""
    side_px, rounds = (*map(int, sys.argv[1:]), *(24, 3)[len(sys.argv[1:]) :])
    compute = choose_training_compute(TrainConfig())
    kinds = ("plain", "recorded", "compiled and recorded") if compute.device == "cuda" else ("plain", "compiled")
    config = recipe_config("best" if compute.device == "cuda" else "quick")
    with compute_environment(compute):
        contenders = {name: prepare(name, config, side_px) for name in kinds}
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, contender in contenders.items():
                times[name].append(contender.take(side_px, STEPS[compute.device]))
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {side_px} px, batches of {config.batch_size}\n")
    for name, seconds in times.items():
        rate, first_s = 1 / statistics.median(seconds), contenders[name].first_s
        sys.stdout.write(f"{name:<24}{rate:>10,.0f} images/s, first step {first_s:.1f} s\n")


if __name__ == "__main__":
    main()
