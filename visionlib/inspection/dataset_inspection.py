"""`inspect_dataset`: what is in a dataset, what its classes look like, what is odd in it, and what is there twice."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Int64
from torch import Tensor

from visionlib.data import Dataset, load_dataset
from visionlib.errors import ConfigError
from visionlib.inspection.duplicates import Duplicates, find_duplicates
from visionlib.inspection.embedding_duplicates import embed_dataset, match_embeddings
from visionlib.inspection.examples import NONE, choose_examples
from visionlib.inspection.odd_images import ODDITIES, OddImage, find_odd_images
from visionlib.inspection.statistics import SplitStatistics, measure_split
from visionlib.runs import Run, open_run


@dataclass(frozen=True, eq=False)
class DatasetInspection:
    """What there is to see in a dataset.

    Attributes:
        dataset: its name.
        content_hash: of all its splits.
        classes: names.
        splits: the figures of each split, train first.
        shown: the split that the examples are of.
        examples: for each class positions of examples in that split; -1 where a class has fewer.
        seed: what they were chosen by.
        odd: images that are odd, by what is odd in them.
        duplicates: images that are there twice; None if they were not looked for.
    """

    dataset: str
    content_hash: str
    classes: tuple[str, ...]
    splits: Mapping[str, SplitStatistics]
    shown: str
    examples: Int64[Tensor, "k m"]
    seed: int
    odd: tuple[OddImage, ...]
    duplicates: Duplicates | None = None

    def count_odd(self) -> dict[str, int]:
        """Count the odd images of each kind that there is."""
        counts = Counter(odd.oddity for odd in self.odd)
        return {oddity: counts[oddity] for oddity in ODDITIES if counts[oddity]}

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON; of examples their positions."""
        positions = [[at for at in row if at != NONE] for row in self.examples.tolist()]
        return {
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "classes": list(self.classes),
            "splits": {name: statistics.to_dict() for name, statistics in self.splits.items()},
            "examples": {"split": self.shown, "seed": self.seed, "positions": positions},
            "odd": {"counts": self.count_odd(), "images": [odd.to_dict() for odd in self.odd]},
            "duplicates": None if self.duplicates is None else self.duplicates.to_dict(),
        }

    def _repr_html_(self) -> str:
        """Show the figures in a notebook, with the mean image of each class."""
        from visionlib.inspection.render_html import to_html

        return to_html(self)


def inspect_dataset(
    dataset: Dataset | str | os.PathLike[str],
    *,
    split: str = "train",
    per_class: int = 10,
    seed: int = 0,
    duplicates: Literal["exact", "near"] | None = None,
    run: Run | str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> DatasetInspection:
    """Look at a dataset; without a network, unless a run is named.

    Args:
        dataset: or what `load_dataset` takes.
        split: what to choose examples from.
        per_class: examples of each class.
        seed: decides which.
        duplicates: look for images that are there twice, too: exact ones alone, or near ones as well.
        run: a finished run on this dataset, or its folder, whose embeddings are compared as well; see
            `compare_embeddings`.
        device: what to predict embeddings on that the run does not keep yet, as in `TrainConfig.device`.
    Raises:
        ConfigError: if `per_class` is below 1; a run is named and near duplicates are not wanted; or these are wanted
            of images that are too small, or differ in size.
        DataError: if the dataset cannot be loaded, or has no such split.
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings.
    """
    if per_class < 1:
        raise ConfigError("per_class", f"{per_class} is out of range", "it must be at least 1")
    if run is not None and duplicates != "near":
        raise ConfigError("run", "tells of near duplicates alone", "look for them: duplicates near")
    opened = run if run is None or isinstance(run, Run) else open_run(run)
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    # First, since a run that does not fit should not be found out after a minute's search.
    embeddings = None if opened is None else embed_dataset(opened, source, device=device)
    found = None if duplicates is None else find_duplicates(source, near=duplicates == "near")
    if found is not None and embeddings is not None:
        found = match_embeddings(found, source, embeddings)
    return DatasetInspection(
        dataset=source.name,
        content_hash=source.content_hash,
        classes=source.classes,
        splits={name: measure_split(source.splits[name]) for name in sorted(source.splits, key=_rank_split)},
        shown=split,
        examples=choose_examples(source.split(split), per_class, seed),
        seed=seed,
        odd=find_odd_images(source),
        duplicates=found,
    )


def _rank_split(name: str) -> tuple[bool, bool, str]:
    """Order splits as they are used: train, validation and whatever else, test."""
    return name != "train", name == "test", name
