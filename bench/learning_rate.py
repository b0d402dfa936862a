"""Compare rules for a learning rate: the suggestion of each from a range test, and the accuracy at that rate.

.venv/bin/python bench/learning_rate.py CIFAR-10 [SETTING...]

CIFAR-10 is what `visionlib data` takes. All is scored on 2,000 images (ResNet-9: 1,000) of the training split that were
not trained on. Settings: all of `SETTINGS` by default; each takes some minutes on two cores.
"""

import dataclasses
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from visionlib import TrainConfig, find_learning_rate, load_dataset, train
from visionlib.data import Dataset, load_shapes
from visionlib.errors import TrainingError
from visionlib.runs import read_json
from visionlib.training.rate_finder import RateFinding

SEEDS = (0, 1)
PEAKS = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
Rule = Callable[[Sequence[float], Sequence[float]], float]


def plain_network(classes: int, channels: int) -> nn.Module:
    """Build a small network without normalization."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


BASE = TrainConfig(model="resnet20", epochs=6, checkpoint_s=0.0, threads=1)
SETTINGS: Mapping[str, tuple[TrainConfig, int, int]] = {
    "shapes": (BASE.replace(epochs=10), 4000, 2000),
    "resnet20": (BASE, 5000, 2000),
    "batch 32": (BASE.replace(epochs=5, batch_size=32), 3000, 2000),
    "no momentum": (BASE.replace(momentum=0.0), 4000, 2000),
    "resnet9": (BASE.replace(model="resnet9", epochs=2, batch_size=64), 2500, 1000),
    "no normalization": (BASE.replace(model="learning_rate:plain_network"), 5000, 2000),
}
"""Name -> settings, images to learn from, images to score."""


def smooth_exponentially(losses: Sequence[float], memory: float) -> list[float]:
    """Average as fastai and the usual range tests do."""
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = memory * mean + (1 - memory) * loss
        smoothed.append(mean / (1 - memory**step))
    return smoothed


def valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Half way down the longest falling subsequence; fastai's `valley`."""
    smoothed = smooth_exponentially(losses, 0.98)
    lengths = [1] * len(smoothed)
    for end, loss in enumerate(smoothed):
        for before in range(end):
            if loss < smoothed[before] and lengths[end] < lengths[before] + 1:
                lengths[end] = lengths[before] + 1
    last = max(range(len(lengths)), key=lengths.__getitem__)
    third = lengths[last] / 3
    return rates[max(0, last - lengths[last] + int(third) + int(third / 2))]


def steep(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Where the loss falls fastest over the logarithm of the rate; fastai's `steep`."""
    return rates[int(np.gradient(smooth_exponentially(losses, 0.98), np.log(rates)).argmin())]


def fraction_of_lowest(divisor: float, memory: float) -> Rule:
    """A fraction of the rate at which the smoothed loss is lowest; a tenth is fastai's `minimum`."""
    return lambda rates, losses: rates[int(np.argmin(smooth_exponentially(losses, memory)))] / divisor


RULES: Mapping[str, Rule] = {
    "fastai's valley": valley,
    "fastai's steep": steep,
    "a tenth of the lowest": fraction_of_lowest(10, 0.98),
    "a third of the lowest": fraction_of_lowest(3, 0.95),
}


def load(name: str, cifar: str, n_train: int, n_held_out: int) -> Dataset:
    """Load the setting's images: `shapes` at 24 px, or a part of CIFAR-10's training split at 16 px."""
    if name == "shapes":
        drawn = load_shapes(n_train=n_train + n_held_out, n_test=10, image_size=24)
        order, split = torch.arange(len(drawn.train)), drawn.train
    else:
        split = load_dataset(cifar).train
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    parts = {"train": order[:n_train], "test": order[n_train : n_train + n_held_out]}
    chosen = {part: split.subset(positions.sort().values) for part, positions in parts.items()}
    if name != "shapes":
        chosen = {
            part: dataclasses.replace(s, images=F.avg_pool2d(s.images.float(), 2).round().to(torch.uint8))
            for part, s in chosen.items()
        }
    return Dataset(name, chosen, split.classes)


def score(dataset: Dataset, config: TrainConfig) -> float:
    """Train, and return the accuracy on the held-out images; that of chance if the loss becomes NaN."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return float(read_json(train(dataset, config, out=Path(folder) / "run").training)["test_accuracy"])
        except TrainingError:
            return 1 / len(dataset.classes)


def suggestions(finding: RateFinding) -> dict[str, float | None]:
    """Return the suggestion of each rule, the library's own last."""
    rates = {name: rule(finding.rates, finding.losses) for name, rule in RULES.items()}
    return {**rates, "visionlib's": finding.suggestion}


def main() -> None:
    """Print the accuracy by peak rate, then each rule's suggestion and its distance from the best."""
    cifar, *named = sys.argv[1:]
    for name in named or SETTINGS:
        config, n_train, n_held_out = SETTINGS[name]
        dataset = load(name, cifar, n_train, n_held_out)
        by_peak = {
            peak: statistics.mean(score(dataset, config.replace(peak_learning_rate=peak, seed=seed)) for seed in SEEDS)
            for peak in PEAKS
        }
        accuracies = "  ".join(f"{peak:g}: {accuracy:.1%}" for peak, accuracy in by_peak.items())
        sys.stdout.write(f"{name}\n  accuracy by peak rate, mean of {len(SEEDS)} seeds: {accuracies}\n")
        for seed in SEEDS:
            finding = find_learning_rate(dataset, config.replace(seed=seed))
            for rule, rate in suggestions(finding).items():
                if rate is None:
                    sys.stdout.write(f"  seed {seed}  {rule:<24}     none   {finding.rule}\n")
                    continue
                reached = np.interp(math.log(rate), np.log(PEAKS), list(by_peak.values()))
                beyond = "" if PEAKS[0] <= rate <= PEAKS[-1] else " or more"
                below = f"{100 * (max(by_peak.values()) - reached):.1f} points{beyond}"
                sys.stdout.write(f"  seed {seed}  {rule:<24}{rate:9.3g}   below the best by {below}\n")


if __name__ == "__main__":
    main()
