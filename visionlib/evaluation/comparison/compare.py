"""`compare_runs`: tests of the difference of runs on the same test images."""

import os
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.comparison.comparison import ClassDifference, Comparison, PairComparison
from visionlib.evaluation.comparison.paired import (
    RESAMPLES,
    PairedCounts,
    adjust_by_holm,
    bootstrap_interval,
    count_pairs,
    mcnemar_p,
)
from visionlib.evaluation.comparison.run_metrics import measure_run
from visionlib.inference.predictions import StoredPredictions, load_predictions
from visionlib.runs import Run, read_config

_ABOUT_WEIGHTS = (
    "This is about these weights, one training each: another seed gives others. To compare recipes or networks, train "
    "several of each, and name those of one with --against."
)
_ABOUT_CLASSES = (
    "Intervals of classes are Tango's, not adjusted for their number: one in twenty leaves out 0 by chance."
)


def compare_runs(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    mirror: bool = False,
    against_first: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare runs by their stored predictions of the same test images; neither network nor data is loaded.

    Args:
        runs: two or more runs, or their folders.
        mirror: average the logits with those of the mirror images.
        against_first: test each run against the first only; else every pair.
        resamples: of each bootstrap.
        seed: of each bootstrap.
    Raises:
        ConfigError: if there are fewer than two runs, or `resamples` is below 1.
        RunError: if a run is unfinished or damaged or has no predictions, or they were tested on other images or have
            other classes.
    """
    if len(runs) < 2:
        raise ConfigError("runs", f"{len(runs)} cannot be compared", "name two or more")
    if resamples < 1:
        raise ConfigError("resamples", f"{resamples} is out of range", "it must be at least 1")
    stored = [load_predictions(run) for run in runs]
    for other in stored[1:]:
        check_comparable(stored[0], other)
    labels, classes = stored[0].labels, stored[0].record.classes
    predicted, confidence, true_probability = (
        torch.stack(rows) for rows in zip(*(_predict(entry, is_mirrored=mirror) for entry in stored), strict=True)
    )
    is_correct = predicted == labels
    pairs = list(combinations(range(len(stored)), 2))[: len(stored) - 1 if against_first else None]
    counts = [count_pairs(is_correct[first], is_correct[second]) for first, second in pairs]
    p_values = [mcnemar_p(entry) for entry in counts]
    return Comparison(
        classes=classes,
        content_hash=stored[0].content_hash,
        logits=stored[0].predictions.choose_logits(is_mirrored=mirror)[1],
        runs=tuple(measure_run(entry, name) for entry, name in zip(stored, name_runs(stored), strict=True)),
        pairs=tuple(
            PairComparison(
                first=first,
                second=second,
                counts=cells,
                interval=bootstrap_interval(cells, resamples=resamples, seed=seed),
                p=p,
                adjusted_p=adjusted_p,
                only_first=(is_correct[first] & ~is_correct[second]).nonzero().flatten(),
                only_second=(is_correct[second] & ~is_correct[first]).nonzero().flatten(),
                per_class=_compare_classes(is_correct[first], is_correct[second], labels, classes),
            )
            for (first, second), cells, p, adjusted_p in zip(
                pairs, counts, p_values, adjust_by_holm(p_values), strict=True
            )
        ),
        resamples=resamples,
        seed=seed,
        notes=_note(stored, pairs=len(pairs)),
        index=stored[0].index,
        labels=labels,
        predicted=predicted,
        confidence=confidence,
        true_probability=true_probability,
        sources=stored[0].sources,
    )


def check_comparable(first: StoredPredictions, other: StoredPredictions) -> None:
    """Refuse runs that were tested on other images, or know other classes.

    Raises:
        RunError: if they differ; the message tells in what.
    """
    remedy = "compare runs on the same data"
    if other.content_hash != first.content_hash:
        problem = (
            f"was tested on other images than {first.run.path} "
            f"(content hash {other.content_hash[:12]}, there {first.content_hash[:12]})"
        )
        raise RunError(other.run.path, problem, remedy)
    if len(other.record.classes) != len(first.record.classes):
        problem = f"has {len(other.record.classes)} classes, and {first.run.path} has {len(first.record.classes)}"
        raise RunError(other.run.path, problem, remedy)
    for number, (name, expected) in enumerate(zip(other.record.classes, first.record.classes, strict=True)):
        if name != expected:
            problem = f"has other classes than {first.run.path} (class {number} is {name!r}, there {expected!r})"
            raise RunError(other.run.path, problem, remedy)
    if not torch.equal(other.labels, first.labels):
        raise RunError(other.run.predictions, "has other labels for the same images", "make it again")


def _predict(stored: StoredPredictions, *, is_mirrored: bool) -> tuple[Tensor, ...]:
    """Return the predicted class, its probability and that of the true class, per image."""
    logits, _ = stored.predictions.choose_logits(is_mirrored=is_mirrored)
    predicted, probabilities = logits.argmax(1), logits.softmax(1)
    return predicted, *(probabilities.gather(1, classes[:, None])[:, 0] for classes in (predicted, stored.labels))


def _compare_classes(
    is_correct_first: Tensor, is_correct_second: Tensor, labels: Tensor, classes: tuple[str, ...]
) -> tuple[ClassDifference, ...]:
    # The cell of each image in the 2 x 2 table, from 0 to 3, counted for all classes at once.
    cells = 2 * is_correct_first.long() + is_correct_second.long()
    table = torch.bincount(4 * labels + cells, minlength=4 * len(classes)).view(-1, 4).tolist()
    return tuple(
        ClassDifference(name, PairedCounts(both, only_first, only_second, neither))
        for name, (neither, only_second, only_first, both) in zip(classes, table, strict=True)
    )


def name_runs(stored: Sequence[StoredPredictions]) -> list[str]:
    """Name each run by its folder, or by its path where folder names are equal; number a run that is given twice."""
    paths = [entry.run.path.resolve() for entry in stored]
    same_name = [{other for other in paths if other.name == path.name} for path in paths]
    names = [path.name if len(same) == 1 else str(path) for path, same in zip(paths, same_name, strict=True)]
    return [
        f"{name} ({names[:position].count(name) + 1})" if names.count(name) > 1 else name
        for position, name in enumerate(names)
    ]


def _note(stored: Sequence[StoredPredictions], *, pairs: int) -> tuple[str, ...]:
    notes = [_ABOUT_WEIGHTS]
    if pairs > 1:
        notes.append(f"{pairs} pairs were tested; their p-values are adjusted by Holm, their intervals are not.")
    notes.append(_ABOUT_CLASSES)
    if len({training_hash(entry.run) for entry in stored}) > 1:
        notes.append("They were trained on different images.")
    return tuple(notes)


def training_hash(run: Run) -> str | None:
    """Return the content hash of the images that a run learned from; None where it is not recorded."""
    split = read_config(run).dataset.splits.get("train")
    return None if split is None else split.content_hash
