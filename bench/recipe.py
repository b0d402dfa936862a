"""Train a recipe with several seeds, and print its test accuracy with and without mirror averaging, and its seconds.

.venv/bin/python bench/recipe.py DATASET [RECIPE] [SEEDS] [SETTING=VALUE...]

    .venv/bin/python bench/recipe.py ../shared/data/cifar10-jpeg quick 0,1,2
    .venv/bin/python bench/recipe.py cifar10 best 0,1,2,3,4 device=cuda

Runs stay in runs/bench/; one that is there already is not trained again.
"""

import statistics
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch

from visionlib import evaluate, open_run, recipe_config, train
from visionlib.runs import read_json
from visionlib.training import choose_compute
from visionlib.training.config import parse_setting
from visionlib.training.predictions import load_predictions
from visionlib.training.trained_model import load_record


def mirror_accuracy(path: Path) -> float:
    """Accuracy of the mean of an image's logits and its mirror image's."""
    run = open_run(path)
    predictions, labels, _ = load_predictions(run, weights_hash=load_record(run)[1])
    return ((predictions.logits + predictions.mirror_logits).argmax(1) == labels).float().mean().item()


def measure(dataset: str, recipe: str, seed: int, changes: dict[str, Any]) -> tuple[float, float, float, float]:
    """Train with one seed; give accuracy, accuracy with mirror averaging, training seconds and all seconds."""
    words = "-".join([Path(dataset).stem, recipe, *(f"{key}={value}" for key, value in changes.items()), f"seed{seed}"])
    path = Path("runs/bench") / words.replace("/", "_")
    if not (path / "training.json").is_file():
        train(dataset, recipe_config(recipe, seed=seed, **changes), out=path, tell=tell)
    accuracy = evaluate(path).accuracy
    assert accuracy is not None
    told = read_json(path / "training.json")
    return accuracy, mirror_accuracy(path), told["seconds_training"], told["seconds_total"]


def read_setting(name: str, text: str) -> Any:
    """Read a setting as it would stand in TOML; what is no TOML value is text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return parse_setting(name, value)


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure every seed that the command line names, and print a line for each and their mean and deviation."""
    given = [word for word in sys.argv[1:] if "=" not in word]
    dataset, recipe, seeds = (*given, *("cifar10", "quick", "0,1,2")[len(given) :])
    pairs = [word.partition("=")[::2] for word in sys.argv[1:] if "=" in word]
    changes = {name: read_setting(name, text) for name, text in pairs}
    rows = [measure(dataset, recipe, int(seed), changes) for seed in seeds.split(",")]
    compute = choose_compute(changes.get("device", "auto"), kernels=changes.get("kernels", "auto"))
    tell(f"{recipe} on {dataset}, {compute}; torch {torch.__version__}")
    tell(f"{'seed':>8}{'accuracy, %':>14}{'with mirror, %':>16}{'training, s':>14}{'in all, s':>12}")
    for seed, row in zip(seeds.split(","), rows, strict=True):
        tell(f"{seed:>8}{100 * row[0]:>14.2f}{100 * row[1]:>16.2f}{row[2]:>14.1f}{row[3]:>12.1f}")
    columns = list(zip(*rows, strict=True))
    means = [statistics.mean(column) for column in columns]
    tell(f"{'mean':>8}{100 * means[0]:>14.2f}{100 * means[1]:>16.2f}{means[2]:>14.1f}{means[3]:>12.1f}")
    if len(rows) > 1:
        std = [statistics.stdev(column) for column in columns]
        tell(f"{'std':>8}{100 * std[0]:>14.2f}{100 * std[1]:>16.2f}{std[2]:>14.1f}{std[3]:>12.1f}")


if __name__ == "__main__":
    main()
