"""`propose_groups`: the conjunctions of conditions that are weakest in one half of the images.

What it finds is selected, and so its figures are too bad to be true: the other half tests them.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from visionlib.evaluation.groups.conditions import Condition, Conditions

LEAST_IMAGES, _LEAST_WRONG = 8, 3
"""Of a group within the half that proposes it."""
_LEAST_EVIDENCE, _CLOSE = -2.0, 4.0
"""Least evidence of a proposed group, and difference from the best, up to which a group of fewer or more conditions is
proposed beside it. At 0, chance gives one group as weak among all of as many conditions."""
_REFINED = 20
"""Pairs that a third condition is tried for."""

Scores = Float64[Tensor, "p a"]


def propose_groups(
    conditions: Conditions, is_wrong: Bool[Tensor, "n"], labels: Int64[Tensor, "n"], *, most: int
) -> list[tuple[int, ...]]:
    """Propose groups by up to three conditions each, the weakest first.

    In each round the weakest group of one, two and three conditions is looked for. The best by evidence is proposed,
    and those that are nearly as good, because the half cannot tell whether "large" or "large, circle" is the right
    description: the tests tell. The images of the best are set aside before the next round, and so "dark" is not
    proposed after "dark, cat" unless other dark images are weak, too.

    Args:
        conditions: of the images of the proposing half.
        is_wrong: which of them are predicted wrong.
        labels: their classes.
        most: largest number of groups.
    Returns:
        Positions in `conditions` for each group.
    """
    order = labels.argsort(stable=True)  # so that a class is a slice
    members, wrong, ordered = conditions.members[order].float(), is_wrong[order].float(), labels[order]
    is_left = torch.ones(len(labels), dtype=torch.bool)
    proposals: list[tuple[int, ...]] = []
    while len(proposals) < most:
        found = _find_weakest(conditions.conditions, members[is_left], wrong[is_left], ordered[is_left])
        best, chosen = max(found, default=(-math.inf, ()))
        if best < _LEAST_EVIDENCE:
            break
        least = max(_LEAST_EVIDENCE, best - _CLOSE)
        close = [group for evidence, group in sorted(found, reverse=True) if evidence >= least]
        proposals += [group for group in close if group not in proposals]
        is_left &= ~(members[:, list(chosen)] > 0).all(1)
    return proposals[:most]


def score_conjunctions(
    left: Float32[Tensor, "n p"],
    right: Float32[Tensor, "n a"],
    wrong: Float32[Tensor, "n"],
    labels: Int64[Tensor, "n"],
) -> Scores:
    """Score each pair of two sets of groups: how many more wrong images it has than its classes lead to expect.

    The expectation and the variance are Mantel and Haenszel's. The score is the signed root of a deviance: the normal
    score of a large group, and for a small one, where a normal score is far too large, near that of the exact test. It
    is that of a binomial distribution, of the wrong images that fall into the group, times the ratio of its variance
    to that of the hypergeometric one. For several classes the binomial distribution has the sums of their means and
    variances.

    Args:
        left: 1 for the members of each group, 0 for others; sorted by label, as everything.
        right: likewise.
        wrong: 1 for images that are predicted wrong.
        labels: sorted.
    Returns:
        0 for groups of fewer than 8 images or 3 wrong ones, and for those that are better than expected.
    """
    shape = (left.shape[1], right.shape[1])
    size, observed, expected, variance, binomial = (torch.zeros(shape, dtype=torch.float64) for _ in range(5))
    counts = torch.unique_consecutive(labels, return_counts=True)[1].tolist()
    for a, b, w in zip(torch.split(left, counts), torch.split(right, counts), torch.split(wrong, counts), strict=True):
        n, m = len(w), float(w.sum())
        group = (a.T @ b).double()
        size += group
        if 0 < m < n:
            observed += ((a * w[:, None]).T @ b).double()
            expected += group * m / n
            binomial += group * (n - group) * m / n**2
            variance += group * (n - group) * m * (n - m) / (n**2 * (n - 1))
    # A class that is all wrong or all right has no variance, and adds as much to the observed as to the expected.
    is_scored = (size >= LEAST_IMAGES) & (observed >= _LEAST_WRONG) & (observed > expected) & (variance > 1e-9)
    trials = expected.square() / (expected - binomial).clamp(min=1e-12)
    inside = torch.xlogy(observed, observed / expected.clamp(min=1e-12))
    others = (trials - observed).clamp(min=0)
    outside = torch.xlogy(others, others / (trials - expected).clamp(min=1e-12))
    scores = (2 * (inside + outside).clamp(min=0) * binomial / variance.clamp(min=1e-9)).sqrt()
    return torch.where(is_scored, scores, 0.0)


def _find_weakest(
    conditions: Sequence[Condition],
    members: Float32[Tensor, "n a"],
    wrong: Float32[Tensor, "n"],
    labels: Int64[Tensor, "n"],
) -> list[tuple[float, tuple[int, ...]]]:
    """Return the weakest groups of one, two and three conditions with their evidence.

    The evidence is half of the squared score, about the logarithm of one over the p-value, less the logarithm of the
    number of groups of as many conditions: of so many some are weak by chance.
    """
    if not len(conditions) or not len(wrong):
        return []
    names = np.array([condition.name for condition in conditions])
    is_same = torch.from_numpy(names[:, None] == names[None, :])
    alone = score_conjunctions(torch.ones(len(wrong), 1), members, wrong, labels)[0]
    pairs = score_conjunctions(members, members, wrong, labels).masked_fill(is_same, 0.0).triu()
    strongest = pairs.flatten().argsort(descending=True, stable=True)[:_REFINED].tolist()
    chosen = [divmod(place, len(conditions)) for place in strongest]
    first, second = (list(part) for part in zip(*chosen, strict=True))
    triples = score_conjunctions(members[:, first] * members[:, second], members, wrong, labels)
    triples = triples.masked_fill(is_same[first] | is_same[second], 0.0)
    place, third = divmod(int(triples.argmax()), len(conditions))
    best = (
        (float(alone.max()), (int(alone.argmax()),)),
        (float(pairs[chosen[0]]), chosen[0]),
        (float(triples[place, third]), tuple(sorted((*chosen[place], third)))),
    )
    return [(score**2 / 2 - math.log(max(1, math.comb(len(conditions), len(group)))), group) for score, group in best]
