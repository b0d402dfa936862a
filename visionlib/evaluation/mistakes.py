"""`find_mistakes`: the images that a network classifies wrong, ranked; confident mistakes can be selected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.data.sources import Sources, name_sources
from visionlib.errors import ConfigError
from visionlib.evaluation.spreadsheet import write_csv
from visionlib.inference.predictions import LogitsKind, SplitPredictions, check_predictions

Ranking = Literal["loss", "margin", "confidence"]
CONFIDENT_FROM = 0.9


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The wrongly classified images of a split, ranked, the worst first.

    Probabilities are the softmax of the logits, not calibrated.

    Attributes:
        classes: class names.
        n: number of images scored, correct ones included.
        logits: `plain`, or `mirror-averaged` with the logits of the mirror images.
        ranked_by: sort key, largest first; ties in the order of the split.
        confident_from: probability of the predicted class from which a mistake counts as confident.
        positions: of the images in the split.
        index: stable image ids, their positions in the source.
        labels: true classes.
        predicted: predicted classes.
        true_probability: of the true class.
        confidence: probability of the predicted class.
        loss: cross-entropy in nats, the negative logarithm of `true_probability`.
        margin: `confidence` minus `true_probability`.
        sources: files that the images were read from, by their stable ids; None if they are not known.
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
    sources: Sources | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def is_confident(self) -> Bool[Tensor, "m"]:
        """Whether each mistake is confident."""
        return self.confidence >= self.confident_from

    @property
    def confident(self) -> "Mistakes":
        """The confident mistakes, in the same order."""
        return self.take(self.is_confident.nonzero().flatten())

    @property
    def unsure(self) -> "Mistakes":
        """The other mistakes, in the same order."""
        return self.take((~self.is_confident).nonzero().flatten())

    def take(self, ranks: Int64[Tensor, "k"]) -> "Mistakes":
        """Select mistakes by their positions in the ranking."""
        fields = ("positions", "index", "labels", "predicted", "true_probability", "confidence", "loss", "margin")
        return replace(self, **{name: getattr(self, name)[ranks] for name in fields})

    def first(self, count: int) -> "Mistakes":
        """Select the first `count`, or all if there are fewer."""
        return self.take(torch.arange(min(count, len(self))))

    def rank(self, by: Ranking) -> "Mistakes":
        """Rank the same mistakes by another measure.

        Raises:
            ConfigError: if there is no such ranking.
        """
        if by not in get_args(Ranking):
            raise ConfigError("by", f"{by!r} is no ranking", f"choose from {', '.join(get_args(Ranking))}")
        in_order = self.take(self.positions.argsort())
        measure: Tensor = getattr(in_order, by)
        return replace(in_order.take(measure.argsort(descending=True, stable=True)), ranked_by=by)

    def records(self) -> list[dict[str, Any]]:
        """Return one record per mistake, with class names."""
        columns = self._columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "n": self.n,
            "wrong": len(self),
            "logits": self.logits,
            "ranked_by": self.ranked_by,
            "confident_from": self.confident_from,
            "confident_and_wrong": int(self.is_confident.sum()),
            "mistakes": self.records(),
        }

    def _columns(self) -> dict[str, list[Any]]:
        return {
            "position": self.positions.tolist(),
            "index": self.index.tolist(),
            "source": name_sources(self.sources, self.index),
            "true": [self.classes[label] for label in self.labels.tolist()],
            "predicted": [self.classes[label] for label in self.predicted.tolist()],
            "true_probability": self.true_probability.tolist(),
            "confidence": self.confidence.tolist(),
            "loss": self.loss.tolist(),
            "margin": self.margin.tolist(),
            "is_confident": self.is_confident.tolist(),
        }


def find_mistakes(
    predictions: SplitPredictions,
    labels: Int64[Tensor, "n"],
    classes: tuple[str, ...],
    *,
    index: Int64[Tensor, "n"] | None = None,
    sources: Sources | None = None,
    by: Ranking = "loss",
    confident_from: float = CONFIDENT_FROM,
    mirror: bool = False,
) -> Mistakes:
    """Find and rank the images whose prediction is wrong.

    Args:
        predictions: of the split; the largest logit is the prediction, the first of equals.
        labels: positions in `classes`.
        classes: a name for each column of the logits.
        index: stable image ids; by default the positions in the split.
        sources: files that the images were read from, by these ids.
        by: the measure to rank by, largest first.
        confident_from: probability of the predicted class from which a mistake counts as confident; in ]0, 1].
        mirror: average the logits with those of the mirror images.
    Raises:
        ConfigError: if the threshold is out of range, or there is no such ranking.
        RunError: if predictions, labels and classes do not fit each other.
    """
    if not 0 < confident_from <= 1:
        raise ConfigError("confident", f"{confident_from} is out of range", "it must be above 0 and at most 1")
    for logits in (predictions.logits, predictions.mirror_logits):
        check_predictions(logits, labels, classes)
    logits, kind = predictions.choose_logits(is_mirrored=mirror)
    positions = (logits.argmax(1) != labels).nonzero().flatten()
    log_probabilities = logits[positions].log_softmax(1)
    true, predicted = labels[positions], logits[positions].argmax(1)
    loss = -log_probabilities.gather(1, true[:, None])[:, 0]
    true_probability = (-loss).exp()
    confidence = log_probabilities.gather(1, predicted[:, None])[:, 0].exp()
    return Mistakes(
        classes=classes,
        n=len(labels),
        logits=kind,
        ranked_by="loss",
        confident_from=confident_from,
        positions=positions,
        index=positions if index is None else index[positions],
        labels=true,
        predicted=predicted,
        true_probability=true_probability,
        confidence=confidence,
        loss=loss,
        margin=confidence - true_probability,
        sources=sources,
    ).rank(by)


def write_mistakes(mistakes: Mistakes, path: Path, *, columns: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write all mistakes as a CSV file atomically, one row each in their order.

    Names that a spreadsheet would evaluate get a leading apostrophe, see `spreadsheet.escape_formula`.

    Args:
        mistakes: ranked.
        path: of the file.
        columns: further columns: one record per mistake, all with the same fields.
    Raises:
        ConfigError: if the file cannot be written.
    """
    pairs = zip(mistakes.records(), columns or [{}] * len(mistakes), strict=True)
    records = [{"rank": rank, **mistake, **further} for rank, (mistake, further) in enumerate(pairs, 1)]
    header = list(records[0]) if records else ["rank", *mistakes._columns()]
    write_csv(path, header, [list(record.values()) for record in records])
