"""Attribution of each mistake to the network or to the label, by the votes of annotators."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.errors import ConfigError, DataError
from visionlib.evaluation.mistakes import Mistakes
from visionlib.evaluation.votes.votes import Votes
from visionlib.evaluation.wording import percent

Kind = Literal["model", "label", "ambiguous", "no votes"]
KINDS: tuple[Kind, ...] = ("model", "label", "ambiguous", "no votes")
AGREEMENT = 0.7


@dataclass(frozen=True, eq=False)
class Opinions:
    """The votes on mistakes, one entry for each in their order.

    Attributes:
        mistakes: the mistakes.
        source: file of the votes.
        agreement: fraction of the votes for one class from which annotators agree.
        kinds: `model`, annotators agree on the label; `label`, on another class; `ambiguous`, they do not agree;
            `no votes`.
        top_class: the class with most votes, the first of equals; -1 without votes.
        top_fraction: fraction of the votes for it; NaN without votes.
        label_fraction: fraction of the votes for the label; NaN without votes.
        entropy_bits: of the fractions, 0 if all votes are for one class; NaN without votes.
    """

    mistakes: Mistakes
    source: str
    agreement: float
    kinds: tuple[Kind, ...]
    top_class: Int64[Tensor, "m"]
    top_fraction: Float64[Tensor, "m"]
    label_fraction: Float64[Tensor, "m"]
    entropy_bits: Float64[Tensor, "m"]

    @property
    def counts(self) -> dict[Kind, int]:
        """Number of mistakes of each kind."""
        counted = Counter(self.kinds)
        return {kind: counted[kind] for kind in KINDS}

    @property
    def label_as_predicted(self) -> int:
        """Number of mistakes of kind `label` where annotators agree with the prediction."""
        is_predicted = (self.top_class == self.mistakes.predicted).tolist()
        return sum(kind == "label" and agrees for kind, agrees in zip(self.kinds, is_predicted, strict=True))

    def take(self, ranks: Int64[Tensor, "k"]) -> "Opinions":
        """Select the votes on some mistakes, by their positions in the ranking."""
        tensors: dict[str, Any] = {
            name: value[ranks] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        kinds = tuple(self.kinds[rank] for rank in ranks.tolist())
        return replace(self, mistakes=self.mistakes.take(ranks), kinds=kinds, **tensors)

    def describe(self, rank: int) -> str:
        """Describe the votes on one mistake in one line."""
        if self.kinds[rank] == "no votes":
            return "no votes"
        name = embed_name(self.mistakes.classes[int(self.top_class[rank])])
        return f"people {name} {percent(float(self.top_fraction[rank]), 0)}"

    def records(self) -> list[dict[str, Any]]:
        """Return one record for each mistake, in their order; None where there are no votes."""
        columns = {
            "people": [self.mistakes.classes[label] for label in self.top_class.tolist()],
            "people_share": self.top_fraction.tolist(),
            "label_share": self.label_fraction.tolist(),
            "entropy_bits": self.entropy_bits.tolist(),
            "is_as_predicted": (self.top_class == self.mistakes.predicted).tolist(),
        }
        return [
            {"kind": kind, **dict(zip(columns, row if kind != "no votes" else [None] * len(row), strict=True))}
            for kind, row in zip(self.kinds, zip(*columns.values(), strict=True), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON: the mistakes, each with its votes."""
        record = self.mistakes.to_dict()
        return {
            **record,
            "votes": self.source,
            "agreement": self.agreement,
            "kinds": {**self.counts, "label_as_predicted": self.label_as_predicted},
            "mistakes": [{**a, **b} for a, b in zip(record["mistakes"], self.records(), strict=True)],
        }


def judge_mistakes(mistakes: Mistakes, votes: Votes, *, agreement: float = AGREEMENT) -> Opinions:
    """Attribute each mistake to the model or to the label, or find that annotators do not agree.

    Args:
        mistakes: ranked or not.
        votes: of the same split.
        agreement: fraction of the votes for one class from which annotators agree, in ]0, 1]. If two classes lead with
            equal fractions, they do not agree at any threshold.
    Raises:
        ConfigError: if `agreement` is out of range.
        DataError: if the numbers of images or classes differ.
    """
    if not 0 < agreement <= 1:
        raise ConfigError("agreement", f"{agreement} is out of range", "it must be above 0 and at most 1")
    if votes.fractions.shape != (mistakes.n, len(mistakes.classes)):
        problem = (
            f"have shape {tuple(votes.fractions.shape)} for {mistakes.n} images of {len(mistakes.classes)} classes"
        )
        raise DataError("votes", problem, "give the votes of the split that was predicted")
    fractions, has_votes = votes.fractions[mistakes.positions], votes.has_votes[mistakes.positions]
    top_fraction, top_class = fractions.max(1)
    is_alone = (fractions == top_fraction[:, None]).sum(1) == 1
    agrees = (top_fraction >= agreement) & is_alone
    unknown = torch.where(has_votes, 0.0, torch.nan).double()
    return Opinions(
        mistakes=mistakes,
        source=votes.source,
        agreement=agreement,
        kinds=tuple(
            _kind(*flags)
            for flags in zip(has_votes.tolist(), agrees.tolist(), (top_class == mistakes.labels).tolist(), strict=True)
        ),
        top_class=torch.where(has_votes, top_class, -1),
        top_fraction=top_fraction + unknown,
        label_fraction=fractions.gather(1, mistakes.labels[:, None])[:, 0] + unknown,
        entropy_bits=torch.special.entr(fractions).sum(1) / math.log(2) + unknown,
    )


def _kind(has_votes: bool, agrees: bool, is_label: bool) -> Kind:
    if not has_votes:
        return "no votes"
    if not agrees:
        return "ambiguous"
    return "model" if is_label else "label"
