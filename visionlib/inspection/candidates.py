"""`find_candidates`: images whose given label another person should look at, by confident learning."""

import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.errors import ConfigError, DataError
from visionlib.inference.trained_model import load_record
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.inspection.out_of_sample import OutOfSample
from visionlib.inspection.split_embeddings import expect_of
from visionlib.runs import Run

_METHOD = "confident learning, the confident joint's counts off its diagonal"


@dataclass(frozen=True, eq=False)
class LabelCandidates:
    """Images whose given label is doubtful to networks that did not learn from them; the most doubtful come first.

    They are candidates for a person to look at: many are images that the network gets wrong.

    Attributes:
        split: name of the split.
        source: how the probabilities came about, for people.
        n: images that were looked at.
        index: what each candidate is called for good.
        given: its label, as a position in `classes`.
        suggested: the most probable class, as a position in `classes`.
        scores: probability of the given class: the lower, the more doubtful.
        probabilities: of every class, a row per candidate.
        classes: class names.
        content_hash: of the split.
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

    def __len__(self) -> int:
        return len(self.index)

    @property
    def share(self) -> float:
        """Share of the images that are candidates."""
        return len(self) / self.n

    def to_dict(self) -> dict[str, Any]:
        """Give the figures, without the images, as plain values for JSON."""
        return {
            "split": self.split,
            "n": self.n,
            "candidates": len(self),
            "share": self.share,
            "method": _METHOD,
            "source": self.source,
            "content_hash": self.content_hash,
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Give each candidate as plain values for JSON."""
        columns = zip(
            self.index.tolist(),
            self.given.tolist(),
            self.suggested.tolist(),
            self.scores.tolist(),
            self.probabilities.tolist(),
            strict=True,
        )
        return [
            {
                "index": index,
                "given": self.classes[given],
                "suggested": self.classes[suggested],
                "score": score,
                "probabilities": probabilities,
            }
            for index, given, suggested, score, probabilities in columns
        ]


def find_candidates(scored: OutOfSample) -> LabelCandidates:
    """Find images whose label is doubtful.

    An image is confidently of a class if that has at least the probability which it has on average in the images given
    it; a class that no image is given never is. The image is a candidate if it is so of another class alone, or of
    several and the most probable class of all is another one; and if its given class is not the most probable.

    Args:
        scored: probabilities of networks that did not learn from the images, by `score_test` or `cross_validate`.
    Raises:
        ConfigError: if cleanlab is not installed.
        DataError: if there are no images, or all have the same label; or `scored` is something else, such as an array.
    Source: Northcutt, Jiang and Chuang 2021, arXiv:1911.00068.
    """
    if not isinstance(scored, OutOfSample):
        raise DataError(
            f"a {type(scored).__name__}",
            "does not tell whether the network learned from the images",
            "pass what score_test(run) or cross_validate(run) gives",
        )
    check_cleanlab()
    present = set(scored.labels.tolist())
    if len(present) < 2:
        told = f"all labels are {scored.classes[present.pop()]!r}" if present else "there are no images"
        raise DataError(f"{scored.split} split", told, "label candidates need images of two classes or more")
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab's advice is for its own users
        found = find_label_issues(
            scored.labels.numpy(),
            scored.probabilities.numpy(),
            filter_by="confident_learning",
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    chosen = torch.as_tensor(found, dtype=torch.int64)
    given, probabilities = scored.labels[chosen], scored.probabilities[chosen]
    scores = probabilities.gather(1, given[:, None])[:, 0]
    # Of equal scores the first image comes first, whatever cleanlab's sorting does.
    order = chosen.argsort()
    order = order[scores[order].argsort(stable=True)]
    return LabelCandidates(
        split=scored.split,
        source=scored.source,
        n=len(scored.labels),
        index=scored.index[chosen][order],
        given=given[order],
        suggested=probabilities[order].argmax(1),
        scores=scores[order],
        probabilities=probabilities[order],
        classes=scored.classes,
        content_hash=scored.content_hash,
    )


def check_cleanlab() -> None:
    """Make sure that the package is there.

    Raises:
        ConfigError: if it is not.
    """
    if importlib.util.find_spec("cleanlab") is None:
        raise ConfigError("label candidates", "cleanlab is not installed", "pip install 'visionlib-torch[labels]'")


def save_candidates(run: Run, candidates: LabelCandidates) -> None:
    """Keep candidates in the run, as `inspection/candidates-SPLIT`."""
    arrays = {name: value.numpy() for name, value in vars(candidates).items() if isinstance(value, Tensor)}
    record = {**expect_of(run, candidates.split), **candidates.to_dict()}
    save_kept(run, f"candidates-{candidates.split}", arrays, record)


def load_candidates(run: Run, split: str = "test") -> LabelCandidates:
    """Read the candidates that a run keeps of a split.

    Raises:
        RunError: if there are none, or they are damaged, or of other weights or data.
    """
    record = load_record(run)

    def build(tensors: dict[str, Any], kept: dict[str, Any]) -> LabelCandidates:
        told = {name: kept[name] for name in ("split", "source", "n", "content_hash")}
        return LabelCandidates(**tensors, **told, classes=record.classes)

    return load_kept(run, f"candidates-{split}", expect_of(run, split), build)
