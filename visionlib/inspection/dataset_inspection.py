"""`inspect_dataset`: statistics, examples, odd images, duplicates and shortcuts of a dataset."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Int64
from torch import Tensor

from visionlib.data import Dataset, load_dataset
from visionlib.errors import ConfigError
from visionlib.evaluation.shortcuts import Shortcuts, find_shortcuts
from visionlib.inspection.duplicate_search import find_duplicates
from visionlib.inspection.duplicates import Duplicates
from visionlib.inspection.embedding_duplicates import embed_dataset, match_embeddings
from visionlib.inspection.examples import NONE, choose_examples
from visionlib.inspection.odd_images import ODDITIES, OddImage, find_odd_images
from visionlib.inspection.statistics import SplitStatistics, measure_split
from visionlib.runs import Run, open_run


@dataclass(frozen=True, eq=False)
class DatasetInspection:
    """Statistics, examples, odd images, duplicates and shortcuts of a dataset.

    Attributes:
        dataset: its name.
        content_hash: of all its splits.
        classes: names.
        splits: statistics of each split, train first.
        shown: name of the split of the examples.
        examples: positions of examples in that split, a row per class; -1 where a class has fewer.
        seed: of the examples.
        odd: odd images, by oddity.
        duplicates: None if they were not searched.
        example_sources: files that these images were read from, without gaps; None where they are not known.
        shortcuts: how well simple properties of the images of that split alone tell the class; None if not asked for.
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
    example_sources: tuple[tuple[str | None, ...], ...] = ()
    shortcuts: Shortcuts | None = None

    def count_odd(self) -> dict[str, int]:
        """Count the odd images by oddity, without zeros."""
        counts = Counter(odd.oddity for odd in self.odd)
        return {oddity: counts[oddity] for oddity in ODDITIES if counts[oddity]}

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        positions = [[position for position in row if position != NONE] for row in self.examples.tolist()]
        sources = [list(row) for row in self.example_sources]
        return {
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "classes": list(self.classes),
            "splits": {name: statistics.to_dict() for name, statistics in self.splits.items()},
            "examples": {"split": self.shown, "seed": self.seed, "positions": positions, "sources": sources},
            "odd": {"counts": self.count_odd(), "images": [odd.to_dict() for odd in self.odd]},
            "duplicates": None if self.duplicates is None else self.duplicates.to_dict(),
            "shortcuts": None if self.shortcuts is None else {"split": self.shown, **self.shortcuts.to_dict()},
        }

    def _repr_html_(self) -> str:
        """Return the tables for a notebook, with the mean image of each class."""
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
    shortcuts: bool = False,
) -> DatasetInspection:
    """Inspect a dataset; without a network, unless a run is given.

    Args:
        dataset: or a name or path for `load_dataset`.
        split: of the examples, and of the shortcuts.
        per_class: examples of each class.
        seed: of the examples, and of the sample and folds of the shortcuts.
        duplicates: search exact duplicates, or near ones as well; by default none.
        run: a finished run on this dataset, or its folder. Its embeddings are compared, and it stores the duplicates;
            see `compare_embeddings`.
        device: of the prediction of missing embeddings, as in `TrainConfig.device`.
        shortcuts: measure how well simple properties alone tell the class, see `find_shortcuts`.
    Raises:
        ConfigError: if `per_class` is below 1; a run is given without near duplicates; or images are too small for
            these, or differ in size.
        DataError: if the dataset cannot be loaded, lacks the split, or is too small for shortcuts.
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings.
    """
    if per_class < 1:
        raise ConfigError("per_class", f"{per_class} is out of range", "it must be at least 1")
    if run is not None and duplicates != "near":
        raise ConfigError("run", "is only compared with near duplicates", "search them with duplicates='near'")
    opened = run if run is None or isinstance(run, Run) else open_run(run)
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    examples = choose_examples(source.split(split), per_class, seed)
    pairs: Duplicates | None = None
    if opened is not None:
        # Before the search, which takes a minute, so that an unsuitable run is refused at once.
        embeddings = embed_dataset(opened, source, device=device)
        pairs = match_embeddings(find_duplicates(source), source, embeddings)
        pairs.save(opened)
    elif duplicates is not None:
        pairs = find_duplicates(source, near=duplicates == "near")
    return DatasetInspection(
        dataset=source.name,
        content_hash=source.content_hash,
        classes=source.classes,
        splits={name: measure_split(source.splits[name]) for name in sorted(source.splits, key=_rank_split)},
        shown=split,
        examples=examples,
        seed=seed,
        odd=find_odd_images(source),
        duplicates=pairs,
        example_sources=tuple(
            tuple(source.split(split).source(position) for position in row if position != NONE)
            for row in examples.tolist()
        ),
        shortcuts=find_shortcuts(source, split=split, seed=seed) if shortcuts else None,
    )


def _rank_split(name: str) -> tuple[bool, bool, str]:
    """Order splits as they are used: train, validation and others, test."""
    return name != "train", name == "test", name
