"""`compare_runs`: are runs really different, by what they say of the same test images?"""

import os
from collections.abc import Sequence
from itertools import combinations
from typing import Any

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
from visionlib.evaluation.comparison.run_figures import measure_run
from visionlib.inference.predictions import StoredPredictions, load_predictions
from visionlib.runs import Run, read_json

_ABOUT_WEIGHTS = (
    "This is about these weights, one training each: another seed gives others. To compare recipes or networks, train "
    "several of each."
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
    """Compare runs on the test images that they share, out of their kept predictions; neither model nor data is loaded.

    Args:
        runs: two or more, or their folders.
        mirror: compare with the logits of the mirror images averaged in.
        against_first: test each against the first alone; else every pair.
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
    kept = [load_predictions(run) for run in runs]
    for other in kept[1:]:
        _refuse_unlike(kept[0], other)
    labels = kept[0].labels
    predicted, confidence, true_probability = (
        torch.stack(figures) for figures in zip(*(_predict(entry, is_mirrored=mirror) for entry in kept), strict=True)
    )
    is_right = predicted == labels
    places = [(0, other) for other in range(1, len(kept))] if against_first else list(combinations(range(len(kept)), 2))
    counts = [count_pairs(is_right[first], is_right[second]) for first, second in places]
    p_values = [mcnemar_p(entry) for entry in counts]
    classes = kept[0].record.classes
    return Comparison(
        classes=classes,
        content_hash=kept[0].content_hash,
        logits=kept[0].predictions.choose_logits(is_mirrored=mirror)[1],
        runs=tuple(measure_run(entry, name) for entry, name in zip(kept, _name_runs(kept), strict=True)),
        pairs=tuple(
            PairComparison(
                first=first,
                second=second,
                counts=cells,
                interval=bootstrap_interval(cells, resamples=resamples, seed=seed),
                p=p,
                adjusted_p=adjusted_p,
                only_first=(is_right[first] & ~is_right[second]).nonzero().flatten(),
                only_second=(is_right[second] & ~is_right[first]).nonzero().flatten(),
                per_class=_compare_classes(is_right[first], is_right[second], labels, classes),
            )
            for (first, second), cells, p, adjusted_p in zip(
                places, counts, p_values, adjust_by_holm(p_values), strict=True
            )
        ),
        resamples=resamples,
        seed=seed,
        notes=_note(kept, pairs=len(places)),
        index=kept[0].index,
        labels=labels,
        predicted=predicted,
        confidence=confidence,
        true_probability=true_probability,
    )


def _refuse_unlike(first: StoredPredictions, other: StoredPredictions) -> None:
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
    for number, (here, there) in enumerate(zip(other.record.classes, first.record.classes, strict=True)):
        if here != there:
            problem = f"has other classes than {first.run.path} (class {number} is {here!r}, there {there!r})"
            raise RunError(other.run.path, problem, remedy)
    if not torch.equal(other.labels, first.labels):
        raise RunError(other.run.predictions, "has other labels for the same images", "make it again")


def _predict(kept: StoredPredictions, *, is_mirrored: bool) -> tuple[Tensor, ...]:
    """Give predicted class, its probability, and that of the true class, image by image."""
    logits, _ = kept.predictions.choose_logits(is_mirrored=is_mirrored)
    predicted, probabilities = logits.argmax(1), logits.softmax(1)
    return predicted, *(probabilities.gather(1, classes[:, None])[:, 0] for classes in (predicted, kept.labels))


def _compare_classes(
    is_right_first: Tensor, is_right_second: Tensor, labels: Tensor, classes: tuple[str, ...]
) -> tuple[ClassDifference, ...]:
    # One of four cells for each image, counted for all classes at once.
    cells = 2 * is_right_first.long() + is_right_second.long()
    table = torch.bincount(4 * labels + cells, minlength=4 * len(classes)).view(-1, 4).tolist()
    return tuple(
        ClassDifference(name, PairedCounts(both, only_first, only_second, neither))
        for name, (neither, only_second, only_first, both) in zip(classes, table, strict=True)
    )


def _name_runs(kept: Sequence[StoredPredictions]) -> list[str]:
    """Name each run by its folder, by its path where folders are called alike, and number what is given twice."""
    paths = [entry.run.path.resolve() for entry in kept]
    alike = [{other for other in paths if other.name == path.name} for path in paths]
    names = [path.name if len(others) == 1 else str(path) for path, others in zip(paths, alike, strict=True)]
    return [
        f"{name} ({names[:place].count(name) + 1})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _note(kept: Sequence[StoredPredictions], *, pairs: int) -> tuple[str, ...]:
    notes = [_ABOUT_WEIGHTS]
    if pairs > 1:
        notes.append(f"{pairs} pairs were tested; their p-values are adjusted by Holm, their intervals are not.")
    notes.append(_ABOUT_CLASSES)
    if len({_training_hash(entry.run) for entry in kept}) > 1:
        notes.append("They were trained on different images.")
    return tuple(notes)


def _training_hash(run: Run) -> Any:
    record = read_json(run.config)
    try:
        return record["dataset"]["splits"]["train"]["content_hash"]
    except (KeyError, TypeError) as error:
        raise RunError(run.config, f"is damaged ({error!r})", "restore it, or train again") from error
