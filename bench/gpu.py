"""Measure how long a GPU trains for 86, 94, 95 and 96 % on CIFAR-10, with start-up reported apart.

.venv/bin/python bench/gpu.py DATASET [SEEDS] [SETTING=VALUE...]

    .venv/bin/python bench/gpu.py cifar10 0,1,2
    .venv/bin/python bench/gpu.py shapes 0 device=cpu model=resnet20 epochs=1     # does it run here?

Each line trains with settings that are meant for its accuracy, on all training images, and tells what the test images
say. Before it, one short training on the same device pays for what happens once: kernels that are loaded and chosen.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from visionlib import evaluate, load_dataset, open_run, recipe_config, train
from visionlib.data import Dataset
from visionlib.runs import read_json
from visionlib.training import TrainConfig, choose_compute

from recipe import read_setting  # isort: skip  beside this file

TARGETS: dict[float, TrainConfig] = {
    0.86: recipe_config("quick"),
    0.94: recipe_config("standard"),
    0.95: recipe_config("best", epochs=40, label_smoothing=0.1, cutout_px=8),
    0.96: recipe_config("best"),
}
WARM_UP_IMAGES = 5_000


def measure(data: Dataset, config: TrainConfig) -> tuple[float, float, float]:
    """Train; give accuracy, with mirror averaging, and the seconds of the training."""
    with tempfile.TemporaryDirectory() as place:
        run = train(data, config, out=Path(place) / "run")
        evaluation = evaluate(open_run(run.path))
        assert evaluation.accuracy is not None
        assert evaluation.mirror_accuracy is not None
        return evaluation.accuracy, evaluation.mirror_accuracy, read_json(run.training)["seconds_training"]


def warm_up(data: Dataset, config: TrainConfig) -> float:
    """Train on a few images at every resolution; give the seconds that it took."""
    split = data.train.subset(torch.arange(min(len(data.train), WARM_UP_IMAGES)))
    few = Dataset(data.name, {"train": split}, data.classes)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        train(few, config.replace(epochs=1, checkpoint_s=0), out=Path(place) / "run")
    return time.perf_counter() - started


def main() -> None:
    """Measure every target, and print a line for each."""
    words = [word for word in sys.argv[1:] if "=" not in word]
    place, seeds = (*words, *("cifar10", "0,1,2")[len(words) :])
    pairs = [word.partition("=")[::2] for word in sys.argv[1:] if "=" in word]
    changes: dict[str, Any] = {name: read_setting(name, text) for name, text in pairs}
    data = load_dataset(place)
    sys.stdout.write(f"{choose_compute(changes.get('device', 'auto'))}; torch {torch.__version__}; seeds {seeds}\n")
    headers = ("target, %", "epochs", "accuracy, %", "deviation", "with mirror, %", "training, s", "start-up, s")
    sys.stdout.write("".join(f"{header:>16}" for header in headers) + "\n")
    for target, settings in TARGETS.items():
        config = settings.replace(**changes)
        start_up = warm_up(data, config)
        rows = [measure(data, config.replace(seed=int(seed))) for seed in seeds.split(",")]
        accuracies, mirrored, seconds = zip(*rows, strict=True)
        deviation = statistics.stdev(accuracies) if len(rows) > 1 else 0.0
        figures = (100 * target, config.epochs, 100 * statistics.mean(accuracies), 100 * deviation)
        figures = (*figures, 100 * statistics.mean(mirrored), statistics.mean(seconds), start_up)
        sys.stdout.write("".join(f"{figure:>16.2f}" for figure in figures) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
