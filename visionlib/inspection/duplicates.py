"""`Duplicates`: pairs of images of the same picture, counted, saved in a run, and written as a table."""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from visionlib.evaluation.spreadsheet import write_csv
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.split_embeddings import read_hashes
from visionlib.runs import Run, read_config
from visionlib.runs.results import load_result, save_result

Kind = Literal["exact", "near", "mirrored", "embedding"]

MIN_THUMBNAIL_CORRELATION = 0.93
"""Minimum correlation of thumbnails for a comparison of pixels."""
MIN_CORRELATION = 0.85
"""Minimum correlation of the pixels of near duplicates."""
MIN_DETAIL = {"near": 0.6, "mirrored": 0.8}
"""Minimum correlation of their detail. It is higher for mirrored images: chance pairs are as frequent among them, and
real pairs are rarer."""
EMBEDDING_LIMITS = {"nearness": 0.5, "pixels": 0.7, "detail": 0.3}
"""Limits for pairs found by embeddings: the largest distance, as a fraction of that to the fifth neighbour; and the
smallest correlations of pixels and detail. See `embedding_duplicates`."""
_FILE = "duplicates.json"
_HEADER = (
    *("kind", "split", "index", "source", "label"),
    *("other_split", "other_index", "other_source", "other_label"),
    *("correlation", "detail", "cosine"),
)


@dataclass(frozen=True)
class DuplicatePair:
    """Two images of the same picture.

    Attributes:
        kind: `exact` for equal pixels, `near` for correlated ones, `mirrored` if one is near the other's mirror image,
            `embedding` if only a run's embeddings found them.
        splits: of both.
        positions: of both, in their splits.
        index: stable ids of both.
        labels: class names of both.
        correlation: of their pixels, at the best small shift; 1 for equal pixels.
        detail_correlation: likewise, after subtraction of the local mean.
        cosine: of the angle between their embeddings; None without a run.
        sources: files, or files and rows, that both were read from; None if they are not known.
    """

    kind: Kind
    splits: tuple[str, str]
    positions: tuple[int, int]
    index: tuple[int, int]
    labels: tuple[str, str]
    correlation: float
    detail_correlation: float
    cosine: float | None = None
    sources: tuple[str | None, str | None] = (None, None)

    @property
    def has_two_labels(self) -> bool:
        """Whether the labels differ: then one of them is wrong, or both fit."""
        return self.labels[0] != self.labels[1]

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        first, second = (
            {"split": split, "position": position, "index": index, "source": source, "label": label}
            for split, position, index, source, label in zip(
                self.splits, self.positions, self.index, self.sources, self.labels, strict=True
            )
        )
        return {
            "kind": self.kind,
            "first": first,
            "second": second,
            "has_two_labels": self.has_two_labels,
            "correlation": self.correlation,
            "detail_correlation": self.detail_correlation,
            "cosine": self.cosine,
        }


@dataclass(frozen=True)
class Duplicates:
    """The duplicates of a dataset.

    Attributes:
        pairs: the exact ones, then the others by descending correlation; an image may be in several.
        is_near: whether near duplicates were searched.
        n: images of each split.
        by_embeddings: further pairs, found by a run's embeddings; None without a run.
        is_exhaustive: whether all pairs of thumbnails were compared; otherwise an index named the 32 most similar ones
            of each image.
    """

    pairs: tuple[DuplicatePair, ...]
    is_near: bool
    n: dict[str, int]
    by_embeddings: tuple[DuplicatePair, ...] | None = None
    is_exhaustive: bool = True

    def between(self, first: str, second: str) -> tuple[DuplicatePair, ...]:
        """Return the pairs between two splits, in either order, or within one if both are the same."""
        return _select(self.pairs, first, second)

    def count_images(self, split: str, other: str) -> int:
        """Count the images of a split that have a duplicate in the other split, or in the same one."""
        pairs = self.between(split, other)
        images = {image for pair in pairs for image in zip(pair.splits, pair.positions, strict=True)}
        return sum(name == split for name, _ in images)

    def counts(self) -> list[dict[str, Any]]:
        """Count pairs by kind, and those with two labels, within each split and between each two."""
        entries = []
        for first, second in [*((name, name) for name in self.n), *combinations(self.n, 2)]:
            pairs = self.between(first, second)
            kinds = Counter(pair.kind for pair in pairs)
            entries.append(
                {
                    "splits": [first, second],
                    **{kind: kinds[kind] for kind in ("exact", "near", "mirrored")},
                    "with_two_labels": sum(pair.has_two_labels for pair in pairs),
                    "images": [self.count_images(first, second), self.count_images(second, first)],
                }
            )
            if self.by_embeddings is not None:
                entries[-1]["embedding"] = len(_select(self.by_embeddings, first, second))
        return entries

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "looked_for": ["exact", "near", "mirrored"] if self.is_near else ["exact"],
            "is_exhaustive": self.is_exhaustive,
            "thresholds": {
                "thumbnails": MIN_THUMBNAIL_CORRELATION,
                "pixels": MIN_CORRELATION,
                "detail": MIN_DETAIL,
                "embedding": EMBEDDING_LIMITS,
            },
            "counts": self.counts(),
            "pairs": [pair.to_dict() for pair in self.pairs],
            "by_embeddings": None if self.by_embeddings is None else [pair.to_dict() for pair in self.by_embeddings],
        }

    def save(self, run: Run) -> None:
        """Write `inspection/duplicates.json`, which the run's page shows.

        Raises:
            RunError: if the folder cannot be written.
        """
        save_result(run.inspection / _FILE, {**_expected_fields(run), "n": self.n, **self.to_dict()})


def load_duplicates(run: Run) -> Duplicates:
    """Read the duplicates stored in a run.

    Raises:
        RunError: if they are absent or damaged, or belong to other weights or data.
    """

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Duplicates:
        by_embeddings = record["by_embeddings"]
        return Duplicates(
            pairs=tuple(map(_parse_pair, record["pairs"])),
            is_near="near" in record["looked_for"],
            n={str(split): int(n) for split, n in record["n"].items()},
            by_embeddings=None if by_embeddings is None else tuple(map(_parse_pair, by_embeddings)),
            is_exhaustive=bool(record.get("is_exhaustive", True)),  # absent from records of older versions
        )

    remedy = "visionlib data DATASET --duplicates near --run RUN"
    return load_result(run.inspection / _FILE, _expected_fields(run), build, remedy=remedy, has_arrays=False)


def write_duplicates(duplicates: Duplicates, path: Path) -> None:
    """Write all pairs as a CSV file, atomically; see `spreadsheet.write_csv`.

    Pairs found by embeddings come last. Without a run the column `cosine` is empty.

    Raises:
        ConfigError: if the file cannot be written.
    """
    rows = [
        (
            pair.kind,
            *(pair.splits[0], pair.index[0], pair.sources[0], pair.labels[0]),
            *(pair.splits[1], pair.index[1], pair.sources[1], pair.labels[1]),
            *(pair.correlation, pair.detail_correlation, pair.cosine),
        )
        for pair in (*duplicates.pairs, *(duplicates.by_embeddings or ()))
    ]
    write_csv(path, _HEADER, rows)


def make_pair(
    kind: Kind,
    images: JoinedSplits,
    rows: tuple[int, int],
    correlation: float,
    detail_correlation: float,
    cosine: float | None = None,
) -> DuplicatePair:
    """Make a pair of two images, given by their rows, with their ids and labels."""
    (name, position), (other_name, other_position) = (images.locate(row) for row in rows)
    split, other = images.splits[name], images.splits[other_name]
    return DuplicatePair(
        kind=kind,
        splits=(name, other_name),
        positions=(position, other_position),
        index=(int(split.index[position]), int(other.index[other_position])),
        labels=(split.classes[int(split.labels[position])], other.classes[int(other.labels[other_position])]),
        correlation=correlation,
        detail_correlation=detail_correlation,
        cosine=cosine,
        sources=(split.source(position), other.source(other_position)),
    )


def _select(pairs: tuple[DuplicatePair, ...], first: str, second: str) -> tuple[DuplicatePair, ...]:
    return tuple(pair for pair in pairs if sorted(pair.splits) == sorted((first, second)))


def _expected_fields(run: Run) -> dict[str, Any]:
    return {**read_hashes(run, "test"), "dataset_hash": read_config(run).dataset.content_hash}


def _parse_pair(record: dict[str, Any]) -> DuplicatePair:
    first, second = record["first"], record["second"]
    return DuplicatePair(
        kind=record["kind"],
        splits=(str(first["split"]), str(second["split"])),
        positions=(int(first["position"]), int(second["position"])),
        index=(int(first["index"]), int(second["index"])),
        labels=(str(first["label"]), str(second["label"])),
        correlation=float(record["correlation"]),
        detail_correlation=float(record["detail_correlation"]),
        cosine=None if record["cosine"] is None else float(record["cosine"]),
        sources=(first.get("source"), second.get("source")),  # absent from records of older versions
    )
