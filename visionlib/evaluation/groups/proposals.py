"""`propose_groups`: the conjunctions of conditions that are weakest in one half of the images.

What it finds is selected, and so its figures are too bad to be true: the other half tests them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from visionlib.evaluation.groups.conditions import Condition, Conditions

LEAST_IMAGES, _LEAST_WRONG = 8, 3
"""Of a group within the half that proposes it."""
_LEAST_SCORE = 2.0
"""Scores are like standard normal deviates."""
_STEP = 0.5
"""A further condition must raise the score by this, so that chance adds none."""
_REFINED = 20
"""Pairs that a third condition is tried for."""

Scores = Float64[Tensor, "p a"]


def propose_groups(
    conditions: Conditions, is_wrong: Bool[Tensor, "n"], labels: Int64[Tensor, "n"], *, most: int
) -> list[tuple[int, ...]]:
    """Propose groups by up to three conditions each, the weakest first.

    Each one is the weakest among the images that are in none of those before it: so "dark" is not proposed after "dark
    cats" unless other dark images are weak, too.

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
    for _ in range(most):
        chosen = _find_weakest(conditions.conditions, members[is_left], wrong[is_left], ordered[is_left])
        if not chosen:
            break
        proposals.append(chosen)
        is_left &= ~(members[:, list(chosen)] > 0).all(1)
    return proposals


def score_conjunctions(
    left: Float32[Tensor, "n p"],
    right: Float32[Tensor, "n a"],
    wrong: Float32[Tensor, "n"],
    labels: Int64[Tensor, "n"],
) -> Scores:
    """Score each pair of two sets of groups: how many more wrong images it has than its classes lead to expect.

    The expectation and the variance are Mantel and Haenszel's. The score is the signed root of the deviance of a
    Poisson distribution of that expectation, divided by the ratio of variance and expectation: the normal score of a
    large group, and for a small one, where a normal score is far too large, near that of the exact test.

    Args:
        left: 1 for the members of each group, 0 for others; sorted by label, as everything.
        right: likewise.
        wrong: 1 for images that are predicted wrong.
        labels: sorted.
    Returns:
        0 for groups of fewer than 8 images or 3 wrong ones, and for those that are better than expected.
    """
    shape = (left.shape[1], right.shape[1])
    size, observed, expected, variance = (torch.zeros(shape, dtype=torch.float64) for _ in range(4))
    counts = torch.unique_consecutive(labels, return_counts=True)[1].tolist()
    for a, b, w in zip(torch.split(left, counts), torch.split(right, counts), torch.split(wrong, counts), strict=True):
        n, m = len(w), float(w.sum())
        group = (a.T @ b).double()
        size += group
        if 0 < m < n:
            observed += ((a * w[:, None]).T @ b).double()
            expected += group * m / n
            variance += group * (n - group) * m * (n - m) / (n**2 * (n - 1))
    # A class that is all wrong or all right has no variance, and adds as much to the observed as to the expected.
    is_scored = (size >= LEAST_IMAGES) & (observed >= _LEAST_WRONG) & (observed > expected) & (variance > 1e-9)
    ratio = torch.where(is_scored, observed / expected.clamp(min=1e-12), 1.0)
    deviance = observed * ratio.log() - (observed - expected)
    scores = (2 * deviance.clamp(min=0) * expected / variance.clamp(min=1e-9)).sqrt()
    return torch.where(is_scored, scores, 0.0)


def _find_weakest(
    conditions: Sequence[Condition],
    members: Float32[Tensor, "n a"],
    wrong: Float32[Tensor, "n"],
    labels: Int64[Tensor, "n"],
) -> tuple[int, ...]:
    """Return the conditions of the weakest group; none if no group is weak enough."""
    if not len(conditions) or not len(wrong):
        return ()
    names = np.array([condition.name for condition in conditions])
    is_same = torch.from_numpy(names[:, None] == names[None, :])
    alone = score_conjunctions(torch.ones(len(wrong), 1), members, wrong, labels)[0]
    pairs = score_conjunctions(members, members, wrong, labels).masked_fill(is_same, 0.0).triu()
    best = [(float(alone.max()), (int(alone.argmax()),))]
    strongest = pairs.flatten().argsort(descending=True, stable=True)[:_REFINED].tolist()
    chosen = [divmod(place, len(conditions)) for place in strongest]
    best.append((float(pairs[chosen[0]]) - _STEP, chosen[0]))
    first, second = (list(part) for part in zip(*chosen, strict=True))
    triples = score_conjunctions(members[:, first] * members[:, second], members, wrong, labels)
    triples = triples.masked_fill(is_same[first] | is_same[second], 0.0)
    place, third = divmod(int(triples.argmax()), len(conditions))
    best.append((float(triples[place, third]) - 2 * _STEP, (*chosen[place], third)))
    score, group = max(best, key=lambda entry: entry[0])
    return group if score >= _LEAST_SCORE else ()
