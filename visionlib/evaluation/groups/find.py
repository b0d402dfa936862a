"""`find_groups`: the weak groups of a run, or of a network on a split."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.random import Stream, random_bits
from visionlib.errors import ConfigError
from visionlib.evaluation.evaluate import prepare_subject
from visionlib.evaluation.groups.clusters import find_clusters
from visionlib.evaluation.groups.conditions import Conditions, list_conditions
from visionlib.evaluation.groups.judging import Judge
from visionlib.evaluation.groups.metadata import load_metadata
from visionlib.evaluation.groups.properties import measure_properties
from visionlib.evaluation.groups.proposals import LEAST_IMAGES
from visionlib.evaluation.groups.weak_groups import LEVEL, WeakGroups
from visionlib.inference.predictions import SplitPredictions, check_predictions, load_predictions, predict_split
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import Run


@overload
def find_groups(
    subject: nn.Module | TrainedModel,
    split: Dataset | ImageSplit,
    *,
    metadata: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> WeakGroups: ...


@overload
def find_groups(
    subject: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    metadata: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> WeakGroups: ...


def find_groups(
    subject: Run | str | os.PathLike[str] | nn.Module | TrainedModel,
    split: Dataset | ImageSplit | None = None,
    *,
    dataset: str | Path | Dataset | None = None,
    metadata: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> WeakGroups:
    """Find groups of images that a network classifies worse than the other images of the same classes.

    A run's groups are found from its stored predictions and kept in its `groups.json`; a network predicts the split.

    Args:
        subject: a run or its folder; a network; or a network with its preprocessing.
        split: for a network, as in `evaluate`.
        dataset: new location of a run's data, if it has moved; it must be the same data.
        metadata: a CSV file with further properties of the images, see `load_metadata`.
        seed: of the halves and clusters.
        **options: of a network, as in `evaluate`.
    Raises:
        ConfigError: if a network comes without a split or without `mean` and `std`, or a run with a split.
        VisionlibError: as `evaluate`, `load_predictions` and `load_metadata`.
    """
    if isinstance(subject, nn.Module | TrainedModel):
        if dataset is not None:
            raise ConfigError("dataset", "is for runs", "give the images of a network as its split")
        batch_size = options.pop("batch_size", 250)
        model, images = prepare_subject(subject, split, **options)
        return search_groups(predict_split(model, images, batch_size=batch_size), images, metadata=metadata, seed=seed)
    if split is not None or options:
        name = "split" if split is not None else next(iter(options))
        raise ConfigError(name, "is for networks, and this is a run", "say where its data lies with dataset=")
    stored = load_predictions(subject)
    groups = search_groups(stored.predictions, stored.load_images(dataset), metadata=metadata, seed=seed)
    groups.save(stored.run)
    return groups


def search_groups(
    predictions: SplitPredictions,
    split: ImageSplit,
    *,
    metadata: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> WeakGroups:
    """Find weak groups in predictions of a split.

    The images of each class are divided into two halves by seed. Either half proposes groups, and the other tests
    them. A group is weak if the exact test within classes, adjusted for all groups that were tested, gives less than
    0.05. It is left out if more than half of the images that tested it, or its weakness, belong to a weaker group.

    Raises:
        RunError: if the predictions do not fit the split.
        DataError: as `load_metadata`.
    """
    labels = split.labels.cpu()
    check_predictions(predictions.logits, labels, split.classes)
    half = draw_half(labels, split.index.cpu(), seed)
    conditions, notes = gather_conditions(predictions, split, (half, ~half), metadata=metadata, seed=seed)
    return WeakGroups(
        n=len(labels),
        wrong=int((predictions.logits.argmax(1) != labels).sum()),
        n_halves=(int(half.sum()), int((~half).sum())),
        conditions=max(len(part.conditions) for part, _ in conditions),
        level=LEVEL,
        seed=seed,
        tested=Judge(predictions, split).search(conditions),
        notes=notes,
    )


def gather_conditions(
    predictions: SplitPredictions,
    split: ImageSplit,
    halves: Sequence[Bool[Tensor, "n"]],
    *,
    metadata: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> tuple[list[tuple[Conditions, Bool[Tensor, "n"]]], tuple[str, ...]]:
    """Measure the images, read their metadata, cluster their embeddings, and make conditions of all that.

    Which images are wrong is not looked at.

    Args:
        predictions: of the split.
        split: all images.
        halves: which images thresholds and clusters come from, for each set of conditions.
        metadata: a CSV file.
        seed: of the clusters.
    Returns:
        The conditions of each half with that half, and sentences on what could not be used.
    """
    properties, labels = measure_properties(split), split.labels.cpu()
    notes: tuple[str, ...] = ()
    if metadata is not None:
        further, notes = load_metadata(Path(metadata), split.index.cpu(), split.sources)
        properties = (*properties, *further)
    gathered, has_clusters = [], False
    for half in halves:
        clusters = None
        if predictions.embeddings is not None:
            clusters = find_clusters(predictions.embeddings.cpu(), predictions.logits, half, seed=seed)
        has_clusters |= clusters is not None
        gathered.append((list_conditions(properties, labels, split.classes, clusters, half, least=LEAST_IMAGES), half))
    if not has_clusters:
        notes = (*notes, "there are no clusters in the embedding to look at")
    return gathered, notes


def draw_half(labels: Int64[Tensor, "n"], index: Int64[Tensor, "n"], seed: int) -> Bool[Tensor, "n"]:
    """Draw half of the images of each class; of an odd number one less."""
    is_drawn = torch.zeros(len(labels), dtype=torch.bool)
    bits = random_bits(seed, 0, index, Stream.GROUP_HALVES)
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        is_drawn[members[bits[members].argsort(stable=True)[: len(members) // 2]]] = True
    return is_drawn
