"""`Judge`: lets each half of the images propose groups, and tests these on the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.class_names import embed_name
from visionlib.data.sources import name_sources
from visionlib.evaluation.comparison.paired import adjust_by_holm
from visionlib.evaluation.groups.conditions import CLASS, Condition, Conditions
from visionlib.evaluation.groups.proposals import propose_groups
from visionlib.evaluation.groups.stratified import count_strata, exact_p, expected_accuracy
from visionlib.evaluation.groups.weak_groups import LEVEL, Group, GroupImages, Verdict
from visionlib.inference.predictions import SplitPredictions

MOST_PROPOSED = 6
"""Groups of each half; each one more raises the adjusted p-value of the others."""
_MOST_OVERLAP = 0.5
"""Fraction of a group's images that may be in weaker groups."""
_MOSTLY = 0.5
_NO_IMAGES = GroupImages((), (), (), (), ())


@dataclass(frozen=True, eq=False)
class _Proposal:
    """A proposed group.

    Attributes:
        conditions: of its images.
        members: its images of both halves.
        is_tested: the images of the half that did not propose it.
    """

    conditions: tuple[Condition, ...]
    members: Bool[Tensor, "n"]
    is_tested: Bool[Tensor, "n"]


class Judge:
    """Proposes and tests groups.

    Args:
        predictions: of the split.
        split: all images.
    """

    def __init__(self, predictions: SplitPredictions, split: ImageSplit) -> None:
        self._split, self._labels = split, split.labels.cpu()
        self._predicted = predictions.logits.argmax(1)
        self._losses = F.cross_entropy(predictions.logits.double(), self._labels, reduction="none")
        self._is_wrong = self._predicted != self._labels

    def search(self, halves: Sequence[tuple[Conditions, Bool[Tensor, "n"]]]) -> tuple[Group, ...]:
        """Propose groups, test every one on the images that did not propose it, and decide which are weak.

        Args:
            halves: conditions, and which images propose groups of them.
        Returns:
            The weak groups, then the others, each the weakest first: that whose interval of the accuracy lies farthest
            below the expected accuracy. In this order a group can be left out for a better one.
        """
        proposals = [
            proposal for conditions, is_proposing in halves for proposal in self._propose(conditions, is_proposing)
        ]
        p_values = [self._test(proposal.members, proposal.is_tested) for proposal in proposals]
        adjusted = adjust_by_holm(p_values)
        described = [
            self._describe(proposal, p, q) for proposal, p, q in zip(proposals, p_values, adjusted, strict=True)
        ]
        covered = torch.zeros_like(self._is_wrong)
        groups = []
        for at in sorted(
            range(len(proposals)), key=lambda at: (adjusted[at] >= LEVEL, -_measure_deficit(described[at]))
        ):
            verdict = self._decide(proposals[at], adjusted[at], covered)
            group = replace(described[at], verdict=verdict)
            if verdict == "weak":
                covered |= proposals[at].members
                group = replace(group, images=self._list_images(proposals[at]))
            groups.append(group)
        return tuple(sorted(groups, key=lambda group: group.verdict != "weak"))

    def _propose(self, conditions: Conditions, is_proposing: Bool[Tensor, "n"]) -> list[_Proposal]:
        known = Conditions(conditions.conditions, conditions.members[is_proposing])
        proposals = propose_groups(known, self._is_wrong[is_proposing], self._labels[is_proposing], most=MOST_PROPOSED)
        return [
            _Proposal(
                tuple(conditions.conditions[at] for at in chosen),
                conditions.members[:, list(chosen)].all(1),
                ~is_proposing,
            )
            for chosen in proposals
        ]

    def _test(self, members: Bool[Tensor, "n"], among: Bool[Tensor, "n"]) -> float:
        return exact_p(count_strata(members[among], self._is_wrong[among], self._labels[among]))

    def _decide(self, proposal: _Proposal, adjusted: float, covered: Bool[Tensor, "n"]) -> Verdict:
        if adjusted >= LEVEL:
            return "not significant"
        tested = proposal.members & proposal.is_tested
        left = tested & ~covered
        if int(left.sum()) < (1 - _MOST_OVERLAP) * int(tested.sum()):
            return "overlaps"
        return "weak" if self._test(left, proposal.is_tested & ~covered) < LEVEL else "overlaps"

    def _describe(self, proposal: _Proposal, p: float, adjusted: float) -> Group:
        members, among = proposal.members, proposal.is_tested
        tested, rest = members & among, ~members & among
        said = torch.bincount(self._predicted[tested & self._is_wrong], minlength=1)
        strata = count_strata(members[among], self._is_wrong[among], self._labels[among])
        return Group(
            description=self._put_in_words(proposal.conditions, members),
            conditions=proposal.conditions,
            n=int(tested.sum()),
            wrong=int((tested & self._is_wrong).sum()),
            rest_n=int(rest.sum()),
            rest_wrong=int((rest & self._is_wrong).sum()),
            expected_accuracy=expected_accuracy(strata),
            p=p,
            p_adjusted=adjusted,
            verdict="not significant",
            taken_for=self._split.classes[int(said.argmax())] if int(said.max()) else None,
            taken_for_n=int(said.max()),
            images=_NO_IMAGES,
        )

    def _put_in_words(self, conditions: tuple[Condition, ...], members: Bool[Tensor, "n"]) -> str:
        """Name the class first, then the properties; or last the class that most of the images have."""
        words = [entry.words for entry in sorted(conditions, key=lambda entry: entry.name != CLASS)]
        counts = torch.bincount(self._labels[members], minlength=1)
        is_mixed = all(entry.name != CLASS for entry in conditions)
        if is_mixed and len(self._split.classes) > 2 and int(counts.max()) >= _MOSTLY * int(members.sum()) > 0:
            words.append(f"mostly {embed_name(self._split.classes[int(counts.argmax())])}")
        return ", ".join(words)

    def _list_images(self, proposal: _Proposal) -> GroupImages:
        positions = proposal.members.nonzero().flatten()
        ranks = torch.where(self._is_wrong[positions], -self._losses[positions], 1.0)
        positions = positions[ranks.argsort(stable=True)]
        index = self._split.index.cpu()[positions]
        names = self._split.classes
        return GroupImages(
            index=tuple(index.tolist()),
            sources=tuple(name_sources(self._split.sources, index)),
            true=tuple(names[label] for label in self._labels[positions].tolist()),
            predicted=tuple(names[label] for label in self._predicted[positions].tolist()),
            is_tested=tuple(proposal.is_tested[positions].tolist()),
        )


def _measure_deficit(group: Group) -> float:
    """Distance of the upper bound of the accuracy from the expected accuracy."""
    interval = group.confidence_interval
    return -1.0 if interval is None or group.expected_accuracy is None else group.expected_accuracy - interval[1]
