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
from visionlib.inference.device import choose_compute
from visionlib.runs import read_json
from visionlib.training.config import parse_setting


@dataclass(frozen=True)
class Outcome:
    """What one seed came to: with the images alone and mirror averaged, in so many seconds of training and in all."""

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
    kept, told = load_predictions(run), read_json(run.training)
    logits, _ = kept.predictions.choose_logits(is_mirrored=True)
    mirrored = score_logits(logits.float(), kept.labels, kept.record.classes)
    return Outcome(evaluate(run), mirrored, told["seconds_training"], told["seconds_total"])


def read_setting(name: str, text: str) -> Any:
    """Read a setting as it would stand in TOML; what is no TOML value is text."""
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
    """Measure every seed that the command line names, and print a line for each and their mean and deviation."""
    given = [word for word in sys.argv[1:] if "=" not in word]
    dataset, recipe, seeds = (*given, *("cifar10", "quick", "0,1,2")[len(given) :])
    pairs = [word.partition("=")[::2] for word in sys.argv[1:] if "=" in word]
    changes = {name: read_setting(name, text) for name, text in pairs}
    outcomes = {seed: measure(dataset, recipe, int(seed), changes) for seed in seeds.split(",")}
    compute = choose_compute(changes.get("device", "auto"), kernels=changes.get("kernels", "auto"))
    log(f"{recipe} on {dataset}, {compute}; torch {torch.__version__}")
    tell_seeds(outcomes)
    tell_classes(list(outcomes.values()))


def tell_seeds(outcomes: dict[str, Outcome]) -> None:
    """Print a line for each seed, with 95 % intervals, and their mean and deviation."""
    headers = ("accuracy, %", "95 %", "with mirror, %", "95 %", "loss", "training, s", "in all, s")
    log(f"{'seed':>6}" + "".join(f"{header:>16}" for header in headers))
    rows = {seed: figures(outcome) for seed, outcome in outcomes.items()}
    for seed, outcome in outcomes.items():
        log(line(seed, rows[seed], span(outcome.plain), span(outcome.mirrored)))
    columns = list(zip(*rows.values(), strict=True))
    log(line("mean", [statistics.mean(column) for column in columns]))
    if len(rows) > 1:
        log(line("std", [statistics.stdev(column) for column in columns]))


def figures(outcome: Outcome) -> tuple[float, ...]:
    """Give what a seed came to, in the order of the columns."""
    plain, mirrored = outcome.plain, outcome.mirrored
    loss = math.nan if plain.loss is None else plain.loss
    return percent(plain), percent(mirrored), loss, outcome.seconds_training, outcome.seconds_total


def line(name: str, row: Sequence[float], interval: str = "", mirror_interval: str = "") -> str:
    """Give a line of the table of seeds."""
    accuracy, mirror, loss, *seconds = row
    told = (
        f"{accuracy:.2f}",
        interval,
        f"{mirror:.2f}",
        mirror_interval,
        f"{loss:.4f}",
        *(f"{s:.1f}" for s in seconds),
    )
    return f"{name:>6}" + "".join(f"{cell:>16}" for cell in told)


def tell_classes(outcomes: list[Outcome]) -> None:
    """Print each class's accuracy, mean of the seeds, and that of every seed."""
    log(f"\n{'class':>12}{'mean, %':>10}{'with mirror, %':>16}   every seed")
    for index, score in enumerate(outcomes[0].plain.per_class):
        found = [percent(outcome.plain.per_class[index]) for outcome in outcomes]
        mirror = statistics.mean(percent(outcome.mirrored.per_class[index]) for outcome in outcomes)
        every = "  ".join(f"{value:.1f}" for value in found)
        log(f"{score.name:>12}{statistics.mean(found):>10.2f}{mirror:>16.2f}   {every}")


def percent(score: Evaluation | ClassScore) -> float:
    """Give an accuracy in percent; no number where there are no images."""
    return math.nan if score.accuracy is None else 100 * score.accuracy


def span(score: Evaluation) -> str:
    """Give the interval of an accuracy in percent; nothing where there are no images."""
    interval = score.confidence_interval
    return f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f}" if interval else ""


if __name__ == "__main__":
    main()
