"""`find_mistakes`: the images that a network gets wrong, the worst first, those it is sure of apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.errors import ConfigError
from visionlib.evaluation.spreadsheet import write_csv
from visionlib.inference.predictions import LogitsKind, SplitPredictions, check_predictions

Ranking = Literal["loss", "margin", "confidence"]
CONFIDENT_FROM = 0.9
_COLUMNS = (
    *("rank", "position", "index", "true", "predicted"),
    *("true_probability", "confidence", "loss", "margin", "is_confident"),
)


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Images whose largest logit is not that of their label, ranked, the worst first.

    Probabilities are the softmax of the logits, as the network gives them: not calibrated.

    Attributes:
        classes: class names.
        n: images scored, right and wrong.
        logits: what was scored: `plain`, or `mirror-averaged` with the logits of the mirror images.
        ranked_by: what they are ranked by, the largest first; equal ones in the order of the split.
        confident_from: probability of the predicted class from which a mistake counts as confident.
        positions: of the images in the split.
        index: what the images are called for good, their positions in the source.
        labels: true classes.
        predicted: predicted classes.
        true_probability: of the true class.
        confidence: probability of the predicted class.
        loss: cross-entropy in nats, the negative logarithm of `true_probability`.
        margin: `confidence` minus `true_probability`, how far the true class lies behind.
    """

    classes: tuple[str, ...]
    n: int
    logits: LogitsKind
    ranked_by: Ranking
    confident_from: float
    positions: Int64[Tensor, "m"]
    index: Int64[Tensor, "m"]
    labels: Int64[Tensor, "m"]
    predicted: Int64[Tensor, "m"]
    true_probability: Float64[Tensor, "m"]
    confidence: Float64[Tensor, "m"]
    loss: Float64[Tensor, "m"]
    margin: Float64[Tensor, "m"]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def is_confident(self) -> Bool[Tensor, "m"]:
        """Whether each mistake is a confident one."""
        return self.confidence >= self.confident_from

    @property
    def confident(self) -> "Mistakes":
        """The confident mistakes alone, in the same order."""
        return self.take(self.is_confident.nonzero().flatten())

    @property
    def unsure(self) -> "Mistakes":
        """All others, in the same order."""
        return self.take((~self.is_confident).nonzero().flatten())

    def take(self, ranks: Int64[Tensor, "k"]) -> "Mistakes":
        """Give some of them, by their places in the ranking."""
        fields = ("positions", "index", "labels", "predicted", "true_probability", "confidence", "loss", "margin")
        return replace(self, **{name: getattr(self, name)[ranks] for name in fields})

    def first(self, count: int) -> "Mistakes":
        """Give the first `count`, or as many as there are."""
        return self.take(torch.arange(min(count, len(self))))

    def rank(self, by: Ranking) -> "Mistakes":
        """Give the same mistakes ranked by another figure.

        Raises:
            ConfigError: if there is no such ranking.
        """
        if by not in get_args(Ranking):
            raise ConfigError("by", f"{by!r} is no ranking", f"choose from {', '.join(get_args(Ranking))}")
        in_order = self.take(self.positions.argsort())
        figure: Tensor = getattr(in_order, by)
        return replace(in_order.take(figure.argsort(descending=True, stable=True)), ranked_by=by)

    def records(self) -> list[dict[str, Any]]:
        """Give one record for each, in their order, with class names."""
        return [
            {
                "position": position,
                "index": index,
                "true": self.classes[label],
                "predicted": self.classes[predicted],
                "true_probability": true_probability,
                "confidence": confidence,
                "loss": loss,
                "margin": margin,
                "is_confident": is_confident,
            }
            for position, index, label, predicted, true_probability, confidence, loss, margin, is_confident in zip(
                self.positions.tolist(),
                self.index.tolist(),
                self.labels.tolist(),
                self.predicted.tolist(),
                self.true_probability.tolist(),
                self.confidence.tolist(),
                self.loss.tolist(),
                self.margin.tolist(),
                self.is_confident.tolist(),
                strict=True,
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "n": self.n,
            "wrong": len(self),
            "logits": self.logits,
            "ranked_by": self.ranked_by,
            "confident_from": self.confident_from,
            "confident_and_wrong": int(self.is_confident.sum()),
            "mistakes": self.records(),
        }


def find_mistakes(
    predictions: SplitPredictions,
    labels: Int64[Tensor, "n"],
    classes: tuple[str, ...],
    *,
    index: Int64[Tensor, "n"] | None = None,
    by: Ranking = "loss",
    confident_from: float = CONFIDENT_FROM,
    mirror: bool = False,
) -> Mistakes:
    """Find the images that are predicted wrong, and rank them.

    Args:
        predictions: of the split; the largest logit is the prediction, the first of equals.
        labels: positions in `classes`.
        classes: as many names as logits have columns.
        index: what the images are called for good; by default their positions.
        by: what to rank by, the largest first: `loss` finds what costs most, `margin` how far the true class lies
            behind, `confidence` what the network is surest of.
        confident_from: probability from which a mistake counts as confident; above 0, at most 1.
        mirror: average the logits with those of the mirror images.
    Raises:
        ConfigError: if the threshold is out of range, or there is no such ranking.
        RunError: if predictions, labels and classes do not fit each other.
    """
    if not 0 < confident_from <= 1:
        raise ConfigError("confident", f"{confident_from} is out of range", "it must be above 0 and at most 1")
    for part in (predictions.logits, predictions.mirror_logits):
        check_predictions(part, labels, classes)
    logits, kind = predictions.choose_logits(is_mirrored=mirror)
    positions = (logits.argmax(1) != labels).nonzero().flatten()
    logarithms = logits[positions].log_softmax(1)
    wrong_labels, predicted = labels[positions], logits[positions].argmax(1)
    logarithm_of_true = logarithms.gather(1, wrong_labels[:, None])[:, 0]
    true_probability = logarithm_of_true.exp()
    confidence = logarithms.gather(1, predicted[:, None])[:, 0].exp()
    return Mistakes(
        classes=classes,
        n=len(labels),
        logits=kind,
        ranked_by="loss",
        confident_from=confident_from,
        positions=positions,
        index=positions if index is None else index[positions],
        labels=wrong_labels,
        predicted=predicted,
        true_probability=true_probability,
        confidence=confidence,
        loss=-logarithm_of_true,
        margin=confidence - true_probability,
    ).rank(by)


def write_mistakes(mistakes: Mistakes, path: Path, *, beside: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write all mistakes as a CSV file, a row each in their order, whole or not at all.

    Class names that a spreadsheet would compute get an apostrophe in front, see `spreadsheet.escape_formula`.

    Args:
        mistakes: ranked.
        path: the file.
        beside: more columns, a record for each mistake; all with the same fields.
    Raises:
        ConfigError: if the file cannot be written.
    """
    more = beside or [{}] * len(mistakes)
    records = [{"rank": rank, **a, **b} for rank, (a, b) in enumerate(zip(mistakes.records(), more, strict=True), 1)]
    write_csv(path, list(records[0]) if records else list(_COLUMNS), [list(record.values()) for record in records])
