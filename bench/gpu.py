"""Measure a GPU's accuracy and seconds of training, from short to long trainings; start-up is listed separately.

.venv/bin/python bench/gpu.py DATASET [SEEDS] [NAME...] [SETTING=VALUE...]

    .venv/bin/python bench/gpu.py cifar10 0,1,2
    .venv/bin/python bench/gpu.py cifar10 0,1,2 best compile=true
    .venv/bin/python bench/gpu.py shapes 0 quick device=cpu model=resnet20 epochs=1     # does it run here?

All training images are used, and the test images for the figures alone. Start-up is the time of a run before its first
step: kernels are loaded, steps recorded and, with compile=true, compiled. One short training before all others does
what happens once in a process. Runs stay in runs/bench/; those that are there already are not trained again.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from visionlib import evaluate, load_dataset, open_run, recipe_config, train
from visionlib.data import Dataset
from visionlib.inference.device import choose_compute
from visionlib.runs import read_json
from visionlib.training import TrainConfig

from recipe import read_setting  # isort: skip  beside this file

LINES: dict[str, TrainConfig] = {
    "quick": recipe_config("quick"),
    "10 epochs": recipe_config(
        "best", epochs=10, resolutions=(*[0.5] * 3, *[0.75] * 3, *[1.0] * 4), muon_learning_rate=0.12, cutout_px=8
    ),
    "standard": recipe_config("standard", parts=1),
    "best": recipe_config("best"),
}
WARM_UP_IMAGES = 5_000


def measure(data: Dataset, config: TrainConfig, name: str) -> tuple[float, float, float, float]:
    """Train; return accuracy, with mirror averaging, the seconds of the training, and those before its first step.

    Args:
        data: all of it.
        config: the settings.
        name: of the run, with every change of the settings.
    """
    path = Path("runs/bench") / f"{Path(data.name).stem}-gpu-{name}-seed{config.seed}".replace(" ", "-").replace(
        "/", "_"
    )
    if not (path / "training.json").is_file():
        train(data, config, out=path)
    evaluation, training = evaluate(open_run(path)), read_json(path / "training.json")
    assert evaluation.accuracy is not None
    assert evaluation.mirror_accuracy is not None
    return evaluation.accuracy, evaluation.mirror_accuracy, training["seconds_training"], training["seconds_startup"]


def warm_up(data: Dataset, config: TrainConfig) -> None:
    """Train on a few images, so that the kernels of an epoch are loaded."""
    few = data.train.subset(torch.arange(min(len(data.train), WARM_UP_IMAGES)))
    with tempfile.TemporaryDirectory() as folder:
        train(Dataset(data.name, {"train": few}, data.classes), config.replace(epochs=1), out=Path(folder) / "run")


def main() -> None:
    """Measure every line that is asked for, and print it."""
    words = [word for word in sys.argv[1:] if "=" not in word]
    source, seeds = (*words, *("cifar10", "0,1,2")[len(words) :])[:2]
    pairs = [word.partition("=")[::2] for word in sys.argv[1:] if "=" in word]
    changes: dict[str, Any] = {name: read_setting(name, text) for name, text in pairs}
    data = load_dataset(source)
    sys.stdout.write(f"{choose_compute(changes.get('device', 'auto'))}; torch {torch.__version__}; seeds {seeds}\n")
    headers = ("", "epochs", "accuracy, %", "std", "with mirror, %", "training, s", "start-up, s")
    sys.stdout.write("".join(f"{header:>16}" for header in headers) + "\n")
    warm_up(data, LINES["quick"].replace(**{**changes, "compile": False}))
    for name in words[2:] or LINES:
        config = LINES[name].replace(**changes)
        label = "-".join([name, *(f"{key}={value}" for key, value in changes.items())])
        rows = [measure(data, config.replace(seed=int(seed)), label) for seed in seeds.split(",")]
        accuracies, mirrored, seconds, startups = zip(*rows, strict=True)
        std = statistics.stdev(accuracies) if len(rows) > 1 else 0.0
        fractions = (statistics.mean(accuracies), std, statistics.mean(mirrored))
        figures = (*(100 * fraction for fraction in fractions), statistics.mean(seconds), statistics.mean(startups))
        sys.stdout.write(f"{name:>16}{config.epochs:>16}" + "".join(f"{figure:>16.2f}" for figure in figures) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
