"""Train a recipe with several seeds, and print its test accuracy, of all and by class, and its seconds.

.venv/bin/python bench/recipe.py DATASET [RECIPE] [SEEDS] [SETTING=VALUE...]

    .venv/bin/python bench/recipe.py ../shared/data/cifar10-jpeg quick 0,1,2
    .venv/bin/python bench/recipe.py cifar10 best 0,1,2,3,4 device=cuda

Runs stay in runs/bench/; one that is there already is not trained again.
"""

import statistics
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visionlib import open_run, recipe_config, train
from visionlib.runs import read_json
from visionlib.training import choose_compute
from visionlib.training.config import parse_setting
from visionlib.training.predictions import load_predictions
from visionlib.training.trained_model import load_record

_MOST_CLASSES = 20
"""With more of them the table by class is left out."""


@dataclass(frozen=True)
class Outcome:
    """What one seed came to; shares of the test images, and seconds."""

    accuracy: float
    mirror_accuracy: float
    seconds_training: float
    seconds_total: float
    by_class: dict[str, float]
    mirror_by_class: dict[str, float]


def measure(dataset: str, recipe: str, seed: int, changes: dict[str, Any]) -> Outcome:
    """Train with one seed, or read what it left, and test with and without its mirror images' logits."""
    words = "-".join([Path(dataset).stem, recipe, *(f"{key}={value}" for key, value in changes.items()), f"seed{seed}"])
    path = Path("runs/bench") / words.replace("/", "_")
    if not (path / "training.json").is_file():
        train(dataset, recipe_config(recipe, seed=seed, **changes), out=path, tell=tell)
    run = open_run(path)
    told, (record, weights_hash) = read_json(run.training), load_record(run)
    predictions, labels, _ = load_predictions(run, weights_hash=weights_hash)
    hits = predictions.logits.argmax(1) == labels
    mirror_hits = (predictions.logits + predictions.mirror_logits).argmax(1) == labels
    return Outcome(
        hits.double().mean().item(),
        mirror_hits.double().mean().item(),
        told["seconds_training"],
        told["seconds_total"],
        share_by_class(hits, labels, record.classes),
        share_by_class(mirror_hits, labels, record.classes),
    )


def share_by_class(hits: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Share of the images of each class that are right; no number for a class without images."""
    return {name: hits[labels == index].double().mean().item() for index, name in enumerate(classes)}


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
    outcomes = [measure(dataset, recipe, int(seed), changes) for seed in seeds.split(",")]
    compute = choose_compute(changes.get("device", "auto"), kernels=changes.get("kernels", "auto"))
    tell(f"{recipe} on {dataset}, {compute}; torch {torch.__version__}")
    tell(f"{'seed':>8}{'accuracy, %':>14}{'with mirror, %':>16}{'training, s':>14}{'in all, s':>12}")
    rows = [(100 * o.accuracy, 100 * o.mirror_accuracy, o.seconds_training, o.seconds_total) for o in outcomes]
    for seed, row in zip(seeds.split(","), rows, strict=True):
        tell(describe(seed, row))
    columns = list(zip(*rows, strict=True))
    tell(describe("mean", [statistics.mean(column) for column in columns]))
    if len(rows) > 1:
        tell(describe("std", [statistics.stdev(column) for column in columns]))
    if len(outcomes[0].by_class) <= _MOST_CLASSES:
        tell_classes(outcomes)


def describe(name: str, row: Sequence[float]) -> str:
    """Give a line of the table of seeds."""
    return f"{name:>8}{row[0]:>14.2f}{row[1]:>16.2f}{row[2]:>14.1f}{row[3]:>12.1f}"


def tell_classes(outcomes: list[Outcome]) -> None:
    """Print each class's accuracy, mean of the seeds, and that of every seed."""
    tell(f"\n{'class':>12}{'mean, %':>10}{'with mirror, %':>16}   every seed")
    for name in outcomes[0].by_class:
        found = [100 * outcome.by_class[name] for outcome in outcomes]
        mirror = statistics.mean(100 * outcome.mirror_by_class[name] for outcome in outcomes)
        seeds = "  ".join(f"{value:.1f}" for value in found)
        tell(f"{name:>12}{statistics.mean(found):>10.2f}{mirror:>16.2f}   {seeds}")


if __name__ == "__main__":
    main()
