"""`find_shortcuts`: how well each property of the images alone predicts their class."""

import os
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.data.arrays import read_arrays
from visionlib.data.holdout import assign_folds
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, DataError
from visionlib.evaluation.comparison.paired import adjust_by_holm, count_pairs
from visionlib.evaluation.shortcuts.prediction import OutOfFold, predict_from
from visionlib.evaluation.shortcuts.probes import Probe, measure_probes
from visionlib.evaluation.shortcuts.result import ClassSign, PropertyScore, Shortcuts, flagged_p

MOST_IMAGES = 10_000
_FEWEST_IMAGES = 20


def find_shortcuts(
    images: Dataset | ImageSplit | str | os.PathLike[str] | object,
    labels: object = None,
    *,
    classes: Sequence[str] | None = None,
    split: str = "train",
    n: int = MOST_IMAGES,
    folds: int = 5,
    seed: int = 0,
) -> Shortcuts:
    """Measure how well brightness, colour, corners, file mode and the like alone predict the class.

    Every property predicts the class of each image by decision trees that saw other images only. An alarm is raised for
    a class and a property that almost gives it away, see `Shortcuts`. No network is involved.

    Args:
        images: a dataset, or a name or path of one; a split; or, with labels, arrays as for `Dataset.from_arrays`.
        labels: of arrays.
        classes: names of the classes of arrays.
        split: of a dataset.
        n: most images; of more a sample is drawn by seed.
        folds: of the cross-validation.
        seed: of the folds and the sample.
    Raises:
        ConfigError: if `folds` or `n` is out of range, or labels come with a dataset.
        DataError: if the data cannot be read, there are fewer than 20 images, or all are of one class.
    """
    if n < _FEWEST_IMAGES:
        raise ConfigError("n", f"{n} is out of range", f"it must be at least {_FEWEST_IMAGES}")
    whole = _find_split(images, labels, classes, split)
    present = int((torch.bincount(whole.labels.cpu()) > 0).sum())
    if len(whole) < _FEWEST_IMAGES or present < 2:
        problem = f"are {len(whole):,} of {present} classes"
        raise DataError("images", problem, f"shortcuts need at least {_FEWEST_IMAGES} images of at least two classes")
    order = random_order(seed, 0, whole.index.cpu(), Stream.SHORTCUT_IMAGES)[:n].sort().values
    sample = whole.subset(order.to(whole.labels.device)) if len(order) < len(whole) else whole
    assigned, known = assign_folds(sample, folds, seed), sample.labels.cpu()
    is_majority = mark_majority(known, assigned)
    probes = measure_probes(sample)
    answers = [predict_from(probe.values, known, assigned, len(whole.classes)) for probe in probes]
    return Shortcuts(
        n=len(sample),
        n_split=len(whole),
        folds=folds,
        seed=seed,
        content_hash=whole.content_hash,
        majority_correct=int(is_majority.sum()),
        scores=_score(probes, answers, known, is_majority, whole.classes),
    )


def mark_majority(labels: Int64[Tensor, "n"], folds: Int64[Tensor, "n"]) -> Bool[Tensor, "n"]:
    """Mark the images of the largest class of each fold: those that the best constant answer is right on.

    The largest class of the held-out images themselves is taken, so that no constant answer can beat it.
    """
    is_majority = torch.zeros(len(labels), dtype=torch.bool)
    for fold in torch.unique(folds).tolist():
        is_fold = folds == fold
        is_majority |= is_fold & (labels == int(torch.bincount(labels[is_fold]).argmax()))
    return is_majority


def _find_split(images: object, labels: object, classes: Sequence[str] | None, split: str) -> ImageSplit:
    if isinstance(images, Dataset | ImageSplit | str | os.PathLike):
        if labels is not None or classes is not None:
            raise ConfigError("labels", "come with the dataset already", "leave out labels and classes")
        if isinstance(images, ImageSplit):
            return images
        return (images if isinstance(images, Dataset) else load_dataset(images)).split(split)
    if labels is None:
        raise ConfigError("labels", "are missing", "give a dataset, a split, or images and labels")
    return read_arrays(images, labels, classes=classes).train


def _score(
    probes: Sequence[Probe],
    answers: Sequence[OutOfFold],
    labels: Int64[Tensor, "n"],
    is_majority: Bool[Tensor, "n"],
    classes: tuple[str, ...],
) -> tuple[PropertyScore, ...]:
    pairs = [count_pairs(is_majority, answer.predicted == labels) for answer in answers]
    p_values = [sign_p(counts.only_first, counts.only_second) for counts in pairs]
    signs = [_find_signs(answer, labels, classes) for answer in answers]
    flat = [sign for row in signs for sign in row]
    signs_adjusted = iter(adjust_by_holm([sign[-1] for sign in flat]))
    scores = []
    columns = zip(probes, pairs, p_values, adjust_by_holm(p_values), signs, strict=True)
    for probe, counts, p, adjusted, row in columns:
        described = _rank([ClassSign(*sign, p_adjusted=next(signs_adjusted)) for sign in row])
        scores.append(PropertyScore(probe.name, counts, p, adjusted, described))
    return tuple(sorted(scores, key=lambda score: (not score.alarms, -(score.difference or 0.0))))


def _find_signs(
    answer: OutOfFold, labels: Int64[Tensor, "n"], classes: tuple[str, ...]
) -> list[tuple[str, int, int, int, int, float]]:
    """Count, for each class that has images, how many of its own and how many others are flagged as it."""
    found = []
    for number, name in enumerate(classes):
        is_class = labels == number
        if bool(is_class.any()):
            hits = int((answer.is_flagged[:, number] & is_class).sum())
            others = int((answer.is_flagged[:, number] & ~is_class).sum())
            n = int(is_class.sum())
            found.append((name, n, hits, len(labels) - n, others, flagged_p(n, hits, len(labels) - n, others)))
    return found


def _rank(signs: list[ClassSign]) -> tuple[ClassSign, ...]:
    """Keep the signs with an alarm and otherwise the best one, best first; a sign flags some image of its class."""
    ranked = sorted((sign for sign in signs if sign.hits), key=lambda sign: (not sign.is_alarm, sign.p, -sign.recall))
    return tuple([sign for sign in ranked if sign.is_alarm] or ranked[:1])


def sign_p(only_majority: int, only_property: int) -> float:
    """P-value, one-sided, of the sign test that a property is right more often than the largest class."""
    from scipy.stats import binomtest

    differing = only_majority + only_property
    return float(binomtest(only_property, differing, alternative="greater").pvalue) if differing else 1.0
