"""Whose mistake it is: the model's, the label's, or nobody's, by what people say of the image."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.errors import ConfigError, DataError
from visionlib.evaluation.mistakes import Mistakes, write_mistakes
from visionlib.evaluation.votes.votes import Votes

Kind = Literal["model", "label", "ambiguous", "no votes"]
KINDS: tuple[Kind, ...] = ("model", "label", "ambiguous", "no votes")
AGREEMENT = 0.7


@dataclass(frozen=True, eq=False)
class Opinions:
    """What people say of mistakes, one entry for each in their order.

    Attributes:
        mistakes: what they are of.
        source: file of the votes.
        agreement: share of the people that must choose the same class for them to agree.
        kinds: `model`, people agree with the label; `label`, people agree on another class; `ambiguous`, people do not
            agree; `no votes`.
        favourite: class that most people choose, the first of equals; -1 without votes.
        favourite_share: share of them that do; NaN without votes.
        label_share: share that chooses the label; NaN without votes.
        entropy_bits: of the shares, 0 if all are of one mind; NaN without votes.
    """

    mistakes: Mistakes
    source: str
    agreement: float
    kinds: tuple[Kind, ...]
    favourite: Int64[Tensor, "m"]
    favourite_share: Float64[Tensor, "m"]
    label_share: Float64[Tensor, "m"]
    entropy_bits: Float64[Tensor, "m"]

    @property
    def counts(self) -> dict[Kind, int]:
        """How many mistakes are of each kind."""
        counted = Counter(self.kinds)
        return {kind: counted[kind] for kind in KINDS}

    @property
    def label_as_predicted(self) -> int:
        """In how many of the label's mistakes people agree with the prediction."""
        favours = (self.favourite == self.mistakes.predicted).tolist()
        return sum(kind == "label" and favour for kind, favour in zip(self.kinds, favours, strict=True))

    def take(self, ranks: Int64[Tensor, "k"]) -> "Opinions":
        """Give those of some of the mistakes, by their places in the ranking."""
        return replace(
            self,
            mistakes=self.mistakes.take(ranks),
            kinds=tuple(self.kinds[rank] for rank in ranks.tolist()),
            favourite=self.favourite[ranks],
            favourite_share=self.favourite_share[ranks],
            label_share=self.label_share[ranks],
            entropy_bits=self.entropy_bits[ranks],
        )

    def describe(self, place: int) -> str:
        """Say what people say of one mistake, on a line."""
        if self.kinds[place] == "no votes":
            return "no votes"
        name = embed_name(self.mistakes.classes[int(self.favourite[place])])
        return f"people {name} {float(self.favourite_share[place]):.0%}"

    def records(self) -> list[dict[str, Any]]:
        """Give one record for each mistake, in their order; None where there are no votes."""
        return [
            {
                "kind": kind,
                "people": self.mistakes.classes[favourite] if favourite >= 0 else None,
                **{
                    name: value if favourite >= 0 else None
                    for name, value in (
                        ("people_share", share),
                        ("label_share", label_share),
                        ("entropy_bits", entropy),
                    )
                },
                "is_as_predicted": favourite == predicted if favourite >= 0 else None,
            }
            for kind, favourite, share, label_share, entropy, predicted in zip(
                self.kinds,
                self.favourite.tolist(),
                self.favourite_share.tolist(),
                self.label_share.tolist(),
                self.entropy_bits.tolist(),
                self.mistakes.predicted.tolist(),
                strict=True,
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON: the mistakes, each with what people say of it."""
        record = self.mistakes.to_dict()
        return {
            **record,
            "votes": self.source,
            "agreement": self.agreement,
            "kinds": {**self.counts, "label_as_predicted": self.label_as_predicted},
            "mistakes": [{**a, **b} for a, b in zip(record["mistakes"], self.records(), strict=True)],
        }


def judge_mistakes(mistakes: Mistakes, votes: Votes, *, agreement: float = AGREEMENT) -> Opinions:
    """Split mistakes into the model's, the label's, and those that people do not agree on either.

    Args:
        mistakes: ranked or not.
        votes: of the same split.
        agreement: share of the people that must choose the same class; above 0, at most 1. Where two classes lead with
            equal shares people do not agree, whatever it is.
    Raises:
        ConfigError: if `agreement` is out of range.
        DataError: if the votes are of another number of images or classes.
    """
    if not 0 < agreement <= 1:
        raise ConfigError("agreement", f"{agreement} is out of range", "it must be above 0 and at most 1")
    if votes.shares.shape != (mistakes.n, len(mistakes.classes)):
        problem = f"have shape {tuple(votes.shares.shape)} for {mistakes.n} images of {len(mistakes.classes)} classes"
        raise DataError("votes", problem, "give the votes of the split that was predicted")
    shares, has_votes = votes.shares[mistakes.positions], votes.has_votes[mistakes.positions]
    favourite_share, favourite = shares.max(1)
    is_alone = (shares == favourite_share[:, None]).sum(1) == 1
    agrees = (favourite_share >= agreement) & is_alone
    unknown = torch.where(has_votes, 0.0, torch.nan).double()
    return Opinions(
        mistakes=mistakes,
        source=votes.source,
        agreement=agreement,
        kinds=tuple(
            _kind(*flags)
            for flags in zip(has_votes.tolist(), agrees.tolist(), (favourite == mistakes.labels).tolist(), strict=True)
        ),
        favourite=torch.where(has_votes, favourite, -1),
        favourite_share=favourite_share + unknown,
        label_share=shares.gather(1, mistakes.labels[:, None])[:, 0] + unknown,
        entropy_bits=torch.special.entr(shares).sum(1) / math.log(2) + unknown,
    )


def write_opinions(opinions: Opinions, path: Path) -> None:
    """Write all mistakes with what people say of them, as `write_mistakes` does.

    Raises:
        ConfigError: if the file cannot be written.
    """
    write_mistakes(opinions.mistakes, path, beside=opinions.records())


def _kind(has_votes: bool, agrees: bool, is_label: bool) -> Kind:
    if not has_votes:
        return "no votes"
    if not agrees:
        return "ambiguous"
    return "model" if is_label else "label"
