"""`compare_recipes`: the mean accuracies of two recipes over seeds, on the same test images."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.comparison.compare import check_comparable, name_runs, training_hash
from visionlib.evaluation.comparison.crossed import check_seeds, compare_crossed
from visionlib.evaluation.comparison.recipe_comparison import RecipeComparison, RecipeRuns
from visionlib.inference.predictions import StoredPredictions, load_predictions
from visionlib.runs import Run, read_config

_FREE_SETTINGS = frozenset({"seed", "device", "threads", "checkpoint_s", "tensorboard", "test_every", "parts"})
"""Runs of one recipe may differ in these settings."""
_ABOUT_RUNS = (
    "Each run counts as a draw from all seeds of its recipe, and the test images as a draw from all images like them. "
    "Runs that were chosen by their test accuracy are no such draw."
)


def compare_recipes(
    recipe: Sequence[Run | str | os.PathLike[str]],
    against: Sequence[Run | str | os.PathLike[str]],
    *,
    mirror: bool = False,
    paired: bool = False,
) -> RecipeComparison:
    """Compare two recipes by runs of several seeds each, by their stored predictions of the same test images.

    Args:
        recipe: runs of one recipe, or their folders, two or more.
        against: runs of the other recipe, likewise.
        mirror: average the logits with those of the mirror images.
        paired: compare runs of the same seed with each other; both sides must have the same seeds.
    Raises:
        ConfigError: if a side has fewer than two runs, or a run is named twice, or `paired` runs have other seeds.
        RunError: if a run is unfinished or damaged or has no predictions, they were tested on other images or have
            other classes, or two runs of a side are the same training.
    """
    check_seeds(len(recipe), len(against))
    sides = [[load_predictions(run) for run in runs] for runs in (recipe, against)]
    stored = [entry for side in sides for entry in side]
    _check_different(stored)
    for other in stored[1:]:
        check_comparable(stored[0], other)
    for side in sides:
        _check_trainings(side)
    if paired:
        sides = [sorted(side, key=lambda entry: _seed(entry) or 0) for side in sides]
        _check_pairs(*sides)
    labels = stored[0].labels
    correct = [
        torch.stack([entry.predictions.choose_logits(is_mirrored=mirror)[0].argmax(1) == labels for entry in side])
        for side in sides
    ]
    names = dict(zip((entry.run.path for entry in stored), name_runs(stored), strict=True))
    described = [
        RecipeRuns(
            runs=tuple(names[entry.run.path] for entry in side),
            paths=tuple(str(entry.run.path) for entry in side),
            seeds=tuple(_seed(entry) for entry in side),
            accuracies=tuple(rows.double().mean(1).tolist()),
        )
        for side, rows in zip(sides, correct, strict=True)
    ]
    return RecipeComparison(
        recipe=described[0],
        against=described[1],
        crossed=compare_crossed(correct[0], correct[1], is_paired=paired),
        content_hash=stored[0].content_hash,
        logits=stored[0].predictions.choose_logits(is_mirrored=mirror)[1],
        notes=_note(sides),
    )


def _check_different(stored: Sequence[StoredPredictions]) -> None:
    paths = [entry.run.path.resolve() for entry in stored]
    for position, path in enumerate(paths):
        if path in paths[:position]:
            problem = "is named twice, and counts as one draw"
            raise ConfigError(str(stored[position].run.path), problem, "name every run once, on one side")


def _check_trainings(side: Sequence[StoredPredictions]) -> None:
    """Refuse copies of one training: they would tell of no variance between seeds."""
    for position, entry in enumerate(side):
        for earlier in side[:position]:
            if torch.equal(entry.predictions.logits, earlier.predictions.logits):
                problem = f"has exactly the logits of {earlier.run.path}: it is the same training"
                raise RunError(entry.run.path, problem, "train each run of a recipe with a --seed of its own")


def _check_pairs(first: Sequence[StoredPredictions], second: Sequence[StoredPredictions]) -> None:
    seeds = [[_seed(entry) for entry in side] for side in (first, second)]
    for side in seeds:
        if None in side or len(set(side)) < len(side):
            raise ConfigError("paired", f"one side has the seeds {_list(side)}", "name one run of each seed")
    if seeds[0] != seeds[1]:
        problem = f"the seeds are {_list(seeds[0])} on one side and {_list(seeds[1])} on the other"
        raise ConfigError("paired", problem, "name runs of the same seeds")


def _list(seeds: Sequence[int | None]) -> str:
    return ", ".join("unknown" if seed is None else str(seed) for seed in seeds)


def _seed(entry: StoredPredictions) -> int | None:
    config = read_config(entry.run)
    return None if config.imported else config.config.seed


def _note(sides: Sequence[Sequence[StoredPredictions]]) -> tuple[str, ...]:
    notes = [_ABOUT_RUNS]
    for name, side in zip(("named first", "after --against"), sides, strict=True):
        settings = [read_config(entry.run).config.whole for entry in side]
        if differing := _find_differing(settings):
            notes.append(f"The runs {name} are not of one recipe: they differ in {', '.join(differing)}.")
    if len({training_hash(entry.run) for side in sides for entry in side}) > 1:
        notes.append("They were trained on different images.")
    return tuple(notes)


def _find_differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """List settings, besides the seed, that differ between the runs of a recipe."""
    names = {name for entry in settings for name in entry} - _FREE_SETTINGS
    return sorted(name for name in names if len({repr(entry.get(name)) for entry in settings}) > 1)
