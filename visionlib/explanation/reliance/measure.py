"""`measure_reliance`: does the accuracy of a network fall when a property is made equal, and do its maps lie on it?"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, DataError, ModelError, RunError
from visionlib.evaluation.comparison.paired import PairedCounts, adjust_by_holm, count_pairs, mcnemar_p
from visionlib.evaluation.evaluate import prepare_subject
from visionlib.evaluation.shortcuts import Shortcuts, find_shortcuts
from visionlib.explanation.explain import explain
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.methods import DEFAULT_METHOD
from visionlib.explanation.quality.estimate import Estimate, average
from visionlib.explanation.quality.localization import fraction_on_objects
from visionlib.explanation.reliance.equalize import SAME, equalize, list_equalizable, mark_replaced
from visionlib.explanation.reliance.result import Change, PropertyReliance, Reliance
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.load import find_run
from visionlib.inference.predictions import check_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar
from visionlib.runs import Run


def measure_reliance(
    subject: nn.Module | TrainedModel | Run | str | os.PathLike[str],
    images: Dataset | ImageSplit | None = None,
    *,
    n: int = 1000,
    n_maps: int = 200,
    method: str = DEFAULT_METHOD,
    seed: int = 0,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 250,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> Reliance:
    """Search shortcuts in the training images, make each property equal in test images, and compare the accuracy.

    For a run without images, its own data is taken, and the result is kept in the run.

    Args:
        subject: a run or its folder, the name of pretrained weights, a network with its preprocessing, or one alone.
        images: a dataset, whose training split is searched for shortcuts and whose test split is predicted; or a split,
            which is both.
        n: images to predict, chosen by seed; all if there are fewer.
        n_maps: of them, images to explain; 0 for no maps. A network that cannot be explained has none.
        method: of the maps, see `METHODS`.
        seed: of the sample and the folds.
        mean: per channel, as fractions of 255, for a network alone; by default that of a dataset's training images.
        std: likewise.
        side_px: height of the inputs of a network alone, if it works on shrunk images.
        batch_size: images per forward pass.
        dataset: new location of a run's data, if it has moved; data for weights that name none.
        device: of a run's network, as in `TrainConfig.device`.
    Raises:
        ConfigError: if `n`, `n_maps` or `batch_size` is out of range, or a network comes without images.
        DataError: if the data cannot be read, or there are too few images, see `find_shortcuts`.
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        ModelError: if the network does not return finite logits, one for each class.
    """
    for name, value, least in (("n", n, 1), ("n_maps", n_maps, 0), ("batch_size", batch_size, 1)):
        if value < least:
            raise ConfigError(name, f"{value} is out of range", f"it must be at least {least}")
    run: Run | None = None
    if isinstance(subject, nn.Module | TrainedModel):
        source = images
        model, split = prepare_subject(subject, images, mean=mean, std=std, side_px=side_px)
    else:
        if (mean, std, side_px) != (None, None, None):
            raise ConfigError("mean, std, side_px", "are known already", "leave them out, or give the network alone")
        opened = find_run(subject)
        model = TrainedModel.from_run(opened, device=device)
        run = opened if images is None and opened.training.is_file() else None
        source = _load(opened, model, subject, dataset) if images is None else images
        split = source.test if isinstance(source, Dataset) else source
    if model.classes and split.classes != model.classes:
        raise ConfigError("images", "have other classes than the network", "give images of the network's classes")
    if not len(split):
        raise DataError("images", "there are none to predict", "give a split with images")
    shortcuts = find_shortcuts(source.train if isinstance(source, Dataset) else split, seed=seed)
    result = _measure(model, split, shortcuts, n=n, n_maps=n_maps, method=method, seed=seed, batch_size=batch_size)
    if run is not None:
        result.save(run)
    return result


def _load(run: Run, model: TrainedModel, subject: object, dataset: str | Path | Dataset | None) -> Dataset:
    """Load a run's data; weights alone name none, and take any at the size of their images."""
    if run.training.is_file():
        return load_run_data(run, dataset)
    if dataset is None:
        raise RunError(str(subject), "is weights alone, and names no data", "name it with --dataset", is_usage=True)
    side_px = None if model.image_size is None else model.image_size[0]
    return dataset if isinstance(dataset, Dataset) else load_dataset(dataset, image_size=side_px)


@dataclass(frozen=True, eq=False)
class _Answers:
    """Which images are predicted correctly as they are, and with each property made equal."""

    labels: Int64[Tensor, "n"]
    as_they_are: Bool[Tensor, "n"]
    equal: dict[str, Bool[Tensor, "n"]]


def _measure(
    model: TrainedModel,
    split: ImageSplit,
    shortcuts: Shortcuts,
    *,
    n: int,
    n_maps: int,
    method: str,
    seed: int,
    batch_size: int,
) -> Reliance:
    order = random_order(seed, 0, split.index.cpu(), Stream.RELIANCE_IMAGES)[:n]
    sample = split.subset(order.to(split.images.device))
    answers = _predict(model, sample, batch_size)
    maps = _explain(model, sample.subset(torch.arange(min(n_maps, len(sample)))), method) if n_maps else None
    given_away: dict[str, list[str]] = {}
    for score in shortcuts.scores:
        names = given_away.setdefault(SAME.get(score.name, score.name), [])
        names += [sign.name for sign in score.alarms if sign.name not in names]
    return Reliance(
        shortcuts=shortcuts,
        n=len(sample),
        n_split=len(split),
        n_maps=0 if maps is None else len(maps.maps),
        method="" if maps is None else method,
        seed=seed,
        content_hash=split.content_hash,
        properties=_summarize(answers, split.classes, given_away, maps),
    )


def _predict(model: TrainedModel, sample: ImageSplit, batch_size: int) -> _Answers:
    labels, names = sample.labels.cpu(), list_equalizable(sample.channels)

    def answer(images: Tensor) -> Bool[Tensor, "n"]:
        logits = model.predict(images, batch_size=batch_size).logits.cpu()
        check_predictions(logits, labels, sample.classes)
        return logits.argmax(1) == labels

    total = (1 + len(names)) * len(sample)
    with (
        compute_environment(choose_compute(str(model.device), model.precision)),
        progress_bar("making properties equal, and predicting", total, "images") as advance,
    ):
        as_they_are, equal = answer(sample.images), {}
        for position, name in enumerate(names, 1):
            advance(position * len(sample), name)
            equal[name] = answer(equalize(sample.images, name))
    return _Answers(labels, as_they_are, equal)


def _explain(model: TrainedModel, sample: ImageSplit, method: str) -> Explanation | None:
    """Explain the predicted class of some images; None for a network without maps."""
    try:
        return explain(model, sample, method=method)
    except ModelError:
        return None


def _summarize(
    answers: _Answers, classes: tuple[str, ...], given_away: dict[str, list[str]], maps: Explanation | None
) -> tuple[PropertyReliance, ...]:
    present = [(name, answers.labels == number) for number, name in enumerate(classes)]
    present = [(name, members) for name, members in present if bool(members.any())]
    changes, of_classes = [], []
    for name, equal in answers.equal.items():
        changes.append(count_pairs(answers.as_they_are, equal))
        counted = {label: count_pairs(answers.as_they_are[here], equal[here]) for label, here in present}
        named = [label for label in given_away.get(name, []) if label in counted]
        worst = min(counted, key=lambda label: counted[label].difference or 0.0)
        of_classes.append([(label, counted[label]) for label in named or [worst]])
    adjusted = _adjust([("", counts) for counts in changes])
    flat = iter(_adjust([entry for row in of_classes for entry in row], tests=len(changes) * len(present)))
    found = []
    for (name, _), change, row in zip(answers.equal.items(), adjusted, of_classes, strict=True):
        area, everywhere, of_class = _locate(name, given_away.get(name, []), maps)
        found.append(
            PropertyReliance(
                name, change, tuple(next(flat) for _ in row), bool(given_away.get(name)), area, everywhere, of_class
            )
        )
    return tuple(sorted(found, key=lambda entry: (not entry.is_given_away, entry.all_images.difference)))


def _adjust(entries: Sequence[tuple[str, PairedCounts]], *, tests: int = 0) -> list[Change]:
    """Test each change; where only some of the tests are shown, p-values of 1 stand for the others."""
    p_values = [mcnemar_p(counts) for _, counts in entries]
    adjusted = adjust_by_holm([*p_values, *[1.0] * max(0, tests - len(entries))])
    return [Change(name, counts, p, q) for (name, counts), p, q in zip(entries, p_values, adjusted, strict=False)]


def _locate(
    name: str, given_away: Sequence[str], maps: Explanation | None
) -> tuple[float | None, Estimate | None, Estimate | None]:
    """Return the region's fraction of the pixels, of the maps, and of the maps of the classes that it gives away."""
    if maps is None:
        return None, None, None
    region = mark_replaced(name, maps.images.shape[2], maps.images.shape[3])
    if region is None:
        return None, None, None
    values = fraction_on_objects(maps.maps, region.expand(len(maps.maps), -1, -1))
    assert maps.labels is not None
    is_class = torch.tensor([maps.class_names[label] in given_away for label in maps.labels.tolist()], dtype=torch.bool)
    return float(region.float().mean()), average(values), average(values[is_class])
