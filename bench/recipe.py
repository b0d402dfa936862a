"""Train a recipe with several seeds, and print its test accuracy, of all and by class, and its seconds.

.venv/bin/python bench/recipe.py DATASET [RECIPE] [SEEDS] [SETTING=VALUE...]

    .venv/bin/python bench/recipe.py ../shared/data/cifar10-jpeg quick 0,1,2
    .venv/bin/python bench/recipe.py cifar10 best 0,1,2,3,4 device=cuda

Runs stay in runs/bench/; one that is there already is not trained again.
"""

import math
import statistics
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from visionlib import Evaluation, evaluate, open_run, recipe_config, train
from visionlib.evaluation import ClassScore, load_predictions, score_logits
from visionlib.runs import read_json
from visionlib.training.config import parse_setting
from visionlib.training.job import choose_training_compute


@dataclass(frozen=True)
class Outcome:
    """Results of one seed: plain and mirror averaged, seconds of training and in all."""

    plain: Evaluation
    mirrored: Evaluation
    seconds_training: float
    seconds_total: float


def measure(dataset: str, recipe: str, seed: int, changes: dict[str, Any]) -> Outcome:
    """Train with one seed, unless it is there already, and test."""
    words = "-".join([Path(dataset).stem, recipe, *(f"{key}={value}" for key, value in changes.items()), f"seed{seed}"])
    path = Path("runs/bench") / words.replace("/", "_")
    if not (path / "training.json").is_file():
        train(dataset, recipe_config(recipe, seed=seed, **changes), out=path, log=log)
    run = open_run(path)
    stored, training = load_predictions(run), read_json(run.training)
    logits, _ = stored.predictions.choose_logits(is_mirrored=True)
    mirrored = score_logits(logits.float(), stored.labels, stored.record.classes)
    return Outcome(evaluate(run), mirrored, training["seconds_training"], training["seconds_total"])


def read_setting(name: str, text: str) -> Any:
    """Parse a setting as in TOML; anything else is text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return parse_setting(name, value)


def log(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure every seed that the command line names, and print a line for each, their mean and their std."""
    arguments = [word for word in sys.argv[1:] if "=" not in word]
    dataset, recipe, seeds = (*arguments, *("cifar10", "quick", "0,1,2")[len(arguments) :])
    pairs = [word.partition("=")[::2] for word in sys.argv[1:] if "=" in word]
    changes = {name: read_setting(name, text) for name, text in pairs}
    outcomes = {seed: measure(dataset, recipe, int(seed), changes) for seed in seeds.split(",")}
    compute = choose_training_compute(recipe_config(recipe, **changes))
    log(f"{recipe} on {dataset}, {compute}; torch {torch.__version__}")
    print_seeds(outcomes)
    print_classes(list(outcomes.values()))


def print_seeds(outcomes: dict[str, Outcome]) -> None:
    """Print a line for each seed, with 95 % intervals, their mean and their std."""
    headers = ("accuracy, %", "95 %", "with mirror, %", "95 %", "loss", "training, s", "in all, s")
    log(f"{'seed':>6}" + "".join(f"{header:>16}" for header in headers))
    rows = {seed: columns_of(outcome) for seed, outcome in outcomes.items()}
    for seed, outcome in outcomes.items():
        log(line(seed, rows[seed], span(outcome.plain), span(outcome.mirrored)))
    columns = list(zip(*rows.values(), strict=True))
    log(line("mean", [statistics.mean(column) for column in columns]))
    if len(rows) > 1:
        log(line("std", [statistics.stdev(column) for column in columns]))


def columns_of(outcome: Outcome) -> tuple[float, ...]:
    """Return the results of a seed, in the order of the columns."""
    plain, mirrored = outcome.plain, outcome.mirrored
    loss = math.nan if plain.loss is None else plain.loss
    return percent(plain), percent(mirrored), loss, outcome.seconds_training, outcome.seconds_total


def line(name: str, row: Sequence[float], interval: str = "", mirror_interval: str = "") -> str:
    """Format a line of the table of seeds."""
    accuracy, mirror, loss, *seconds = row
    cells = (
        f"{accuracy:.2f}",
        interval,
        f"{mirror:.2f}",
        mirror_interval,
        f"{loss:.4f}",
        *(f"{s:.1f}" for s in seconds),
    )
    return f"{name:>6}" + "".join(f"{cell:>16}" for cell in cells)


def print_classes(outcomes: list[Outcome]) -> None:
    """Print each class's accuracy, mean of the seeds, and that of every seed."""
    log(f"\n{'class':>12}{'mean, %':>10}{'with mirror, %':>16}   every seed")
    for index, score in enumerate(outcomes[0].plain.per_class):
        accuracies = [percent(outcome.plain.per_class[index]) for outcome in outcomes]
        mirror = statistics.mean(percent(outcome.mirrored.per_class[index]) for outcome in outcomes)
        every = "  ".join(f"{value:.1f}" for value in accuracies)
        log(f"{score.name:>12}{statistics.mean(accuracies):>10.2f}{mirror:>16.2f}   {every}")


def percent(score: Evaluation | ClassScore) -> float:
    """Return an accuracy in percent; NaN without images."""
    return math.nan if score.accuracy is None else 100 * score.accuracy


def span(score: Evaluation) -> str:
    """Format the interval of an accuracy in percent; empty without images."""
    interval = score.confidence_interval
    return f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f}" if interval else ""


if __name__ == "__main__":
    main()
