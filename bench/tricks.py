"""Measure tricks from the literature, each alone and all together, on training images that are held out.

.venv/bin/python bench/tricks.py DATASET [SEEDS] [NAME...]

    .venv/bin/python bench/tricks.py ../shared/data/cifar10-jpeg 0,1

Each variation of the recipe `quick`, without the tricks that it has, trains for two epochs at half the side, on nine
tenths of the training images, and is scored on the others, 5,000 of CIFAR-10's. Runs stay in runs/bench/; one that is
there already is not trained again.
"""

import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from visionlib import load_dataset, open_run, recipe_config, train
from visionlib.data import Dataset
from visionlib.inference.predictions import load_predictions
from visionlib.runs import read_json
from visionlib.training.job import choose_training_compute
from visionlib.training.loop import accuracy

SHORT: dict[str, Any] = {
    "epochs": 2,
    "resolutions": (0.5,),
    "validation_fraction": 0.1,
    # Tricks of the recipe.
    "whiten": False,
    "norm_bias_factor": 1.0,
}
VARIATIONS: dict[str, dict[str, Any]] = {
    "none of them": {},
    "averaged (EMA)": {"averaging": "ema", "averaging_decay": 0.98},
    "whitened stem": {"whiten": True},
    "biases at 16 times the rate": {"norm_bias_factor": 16.0},
    "label smoothing 0.2": {"label_smoothing": 0.2},
    "random flip": {"flip": "random"},
    "SGD": {"optimizer": "sgd", "batch_size": 128, "peak_learning_rate": 0.2},
    "all of the first three": {
        "averaging": "ema",
        "averaging_decay": 0.98,
        "whiten": True,
        "norm_bias_factor": 16.0,
    },
}


def measure(data: Dataset, name: str, seed: int) -> tuple[float, float, float]:
    """Train one variation; return held-out accuracy without and with mirror averaging, and the training's seconds."""
    words = f"{Path(data.name).stem}-trick-{name}-seed{seed}".replace(" ", "-").replace("/", "_")
    path = Path("runs/bench") / words
    if not (path / "training.json").is_file():
        train(data, recipe_config("quick", seed=seed, **{**SHORT, **VARIATIONS[name]}), out=path)
    run = open_run(path)
    stored = load_predictions(run, file=run.validation)
    plain, mirrored = (stored.predictions.choose_logits(is_mirrored=is_mirrored)[0] for is_mirrored in (False, True))
    seconds: float = read_json(run.training)["seconds_training"]
    return accuracy(plain, stored.labels), accuracy(mirrored, stored.labels), seconds


def main() -> None:
    """Measure the variations that the command line names, or all, and print a line for each."""
    source, seeds = (*sys.argv[1:3], *("cifar10", "0")[len(sys.argv[1:3]) :])
    data = load_dataset(source)
    sys.stdout.write(f"{choose_training_compute(recipe_config('quick'))}; torch {torch.__version__}; seeds {seeds}\n")
    sys.stdout.write(f"{'':<30}{'accuracy, %':>14}{'with mirror, %':>16}{'seconds':>10}\n")
    for name in sys.argv[3:] or VARIATIONS:
        rows = [measure(data, name, int(seed)) for seed in seeds.split(",")]
        plain, mirrored, seconds = (statistics.mean(column) for column in zip(*rows, strict=True))
        sys.stdout.write(f"{name:<30}{100 * plain:>14.2f}{100 * mirrored:>16.2f}{seconds:>10.1f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
