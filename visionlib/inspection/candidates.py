"""`find_candidates`: images with a doubtful label, by confident learning."""

import csv
import importlib.util
import io
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data.sources import Sources, name_sources
from visionlib.errors import ConfigError, DataError
from visionlib.inference.run_sources import load_sources
from visionlib.inspection.out_of_sample import OutOfSample
from visionlib.inspection.split_embeddings import read_hashes, to_arrays, to_tensors
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.results import load_result, save_result

_METHOD = "confident learning, the confident joint's counts off its diagonal"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""A spreadsheet evaluates a cell that starts with one of these."""


@dataclass(frozen=True, eq=False)
class LabelCandidates:
    """Images with a doubtful label by out-of-sample probabilities, the most doubtful first.

    They are candidates for review by a person: many are mistakes of the network.

    Attributes:
        split: name of the split.
        source: origin of the probabilities, in words.
        n: images that were examined.
        index: stable image ids.
        given: the labels, as positions in `classes`.
        suggested: the most probable classes, as positions in `classes`.
        scores: probabilities of the given class: the lower, the more doubtful.
        probabilities: of every class, a row per candidate.
        classes: class names.
        content_hash: of the split.
        sources: files that the images were read from, by their stable ids; None if they are not known.
    """

    split: str
    source: str
    n: int
    index: Int64[Tensor, "m"]
    given: Int64[Tensor, "m"]
    suggested: Int64[Tensor, "m"]
    scores: Float64[Tensor, "m"]
    probabilities: Float64[Tensor, "m k"]
    classes: tuple[str, ...]
    content_hash: str
    sources: Sources | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def fraction(self) -> float:
        """Fraction of the images that are candidates."""
        return len(self) / self.n

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the candidates as plain values for JSON."""
        return {
            "split": self.split,
            "n": self.n,
            "candidates": len(self),
            "share": self.fraction,
            "method": _METHOD,
            "source": self.source,
            "content_hash": self.content_hash,
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Return each candidate as plain values for JSON."""
        fields = (self.index, self.given, self.suggested, self.scores, self.probabilities)
        columns = zip(name_sources(self.sources, self.index), *(field.tolist() for field in fields), strict=True)
        return [
            {
                "index": index,
                "source": source,
                "given": self.classes[given],
                "suggested": self.classes[suggested],
                "score": score,
                "probabilities": probabilities,
            }
            for source, index, given, suggested, score, probabilities in columns
        ]

    def save(self, run: Run) -> None:
        """Write `inspection/candidates-SPLIT.npz` and its record.

        Raises:
            RunError: if the folder cannot be written.
        """
        record = {**read_hashes(run, self.split), **self.to_dict()}
        save_result(run.inspection / f"candidates-{self.split}.json", record, arrays=to_arrays(self))


def find_candidates(scored: OutOfSample) -> LabelCandidates:
    """Find images with a doubtful label.

    The threshold of a class is the mean probability of that class over the images labelled with it; a class without
    images has none. An image is confidently in the most probable class of those that reach their thresholds. It is a
    candidate if it is confidently in another class than its label, and its label is not the most probable class.

    Args:
        scored: out-of-sample probabilities, by `score_test` or `cross_validate`.
    Raises:
        ConfigError: if cleanlab is not installed.
        DataError: if there are no images, or all have the same label; or `scored` is something else, such as an array.
    Source: Northcutt, Jiang and Chuang 2021, arXiv:1911.00068.
    """
    if not isinstance(scored, OutOfSample):
        raise DataError(
            f"a {type(scored).__name__}",
            "has no record of whether the network was trained on the images",
            "pass the result of score_test(run) or cross_validate(run)",
        )
    check_cleanlab()
    present = set(scored.labels.tolist())
    if len(present) < 2:
        problem = f"all labels are {scored.classes[present.pop()]!r}" if present else "there are no images"
        raise DataError(f"{scored.split} split", problem, "label candidates need images of two classes or more")
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab addresses its warnings to direct callers
        issues = find_label_issues(
            scored.labels.numpy(),
            scored.probabilities.numpy(),
            filter_by="confident_learning",
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    positions = torch.as_tensor(issues, dtype=torch.int64)
    given, probabilities = scored.labels[positions], scored.probabilities[positions]
    scores = probabilities.gather(1, given[:, None])[:, 0]
    # Ties in the split's order: cleanlab's sort is not stable.
    order = positions.argsort()
    order = order[scores[order].argsort(stable=True)]
    return LabelCandidates(
        split=scored.split,
        source=scored.source,
        n=len(scored.labels),
        index=scored.index[positions][order],
        given=given[order],
        suggested=probabilities[order].argmax(1),
        scores=scores[order],
        probabilities=probabilities[order],
        classes=scored.classes,
        content_hash=scored.content_hash,
        sources=scored.sources,
    )


def check_cleanlab() -> None:
    """Raise a ConfigError if cleanlab is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        raise ConfigError("label candidates", "cleanlab is not installed", "pip install 'visionlib-torch[labels]'")


def load_candidates(run: Run, split: str = "test") -> LabelCandidates:
    """Read the candidates stored in a run for a split.

    Raises:
        RunError: if they are absent or damaged, or belong to other weights or data.
    """
    classes, sources = load_record(run).classes, load_sources(run, split)

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> LabelCandidates:
        fields = {name: record[name] for name in ("split", "source", "n", "content_hash")}
        return LabelCandidates(**to_tensors(LabelCandidates, arrays), **fields, classes=classes, sources=sources)

    path = run.inspection / f"candidates-{split}.json"
    return load_result(path, read_hashes(run, split), build, remedy="visionlib inspect")


def tabulate_candidates(candidates: LabelCandidates) -> str:
    """Return CSV, a line per candidate: rank, index, source, given and suggested class, score, all probabilities.

    A name that a spreadsheet would evaluate gets a leading apostrophe.

    Source: OWASP, CSV injection.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    names = [f"probability of {name}" for name in candidates.classes]
    writer.writerow(["rank", "index", "source", "split", "given", "suggested", "score", *names])
    for rank, row in enumerate(candidates.to_rows(), 1):
        texts = [
            f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text
            for text in (row["source"] or "", candidates.split, row["given"], row["suggested"])
        ]
        numbers = [f"{value:.6f}" for value in (row["score"], *row["probabilities"])]
        writer.writerow([rank, row["index"], *texts, *numbers])
    return table.getvalue()
