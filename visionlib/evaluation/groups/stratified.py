"""Statistics of a group against the other images of the same classes: a group's class alone never makes it weak."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from torch import Tensor

_VANISHING = 1e-300


@dataclass(frozen=True)
class Stratum:
    """The 2 x 2 table of one class.

    Attributes:
        n: images of the class.
        wrong: of them, that are predicted wrong.
        group_n: of them, that are in the group.
        group_wrong: of the group's, that are predicted wrong.
    """

    n: int
    wrong: int
    group_n: int
    group_wrong: int


def count_strata(
    is_member: Bool[Tensor, "n"], is_wrong: Bool[Tensor, "n"], labels: Int64[Tensor, "n"]
) -> tuple[Stratum, ...]:
    """Count the table of each class that the group has images of."""
    tables = []
    for label in torch.unique(labels[is_member]).tolist():
        is_class = labels == label
        chosen = is_class & is_member
        counts = (is_class, is_class & is_wrong, chosen, chosen & is_wrong)
        tables.append(Stratum(*(int(part.sum()) for part in counts)))
    return tuple(tables)


def exact_p(strata: tuple[Stratum, ...]) -> float:
    """P-value, one-sided, of the exact test that the group is no weaker than the other images of the same classes.

    If it is not, the wrong images of each class are a random sample of the class, and the number of them in the group
    has a hypergeometric distribution; the sum over the classes is distributed as the convolution. The p-value is the
    probability of at least as many wrong images as there are. It is Fisher's exact test for a single class, and the
    exact form of the test of Mantel and Haenszel for several. A group that holds all images of a class learns nothing
    from that class; one that is a class has a p-value of 1.

    Source: Mantel and Haenszel 1959, doi 10.1093/jnci/22.4.719; exact: Gart 1970, doi 10.1093/biomet/57.3.471.
    """
    distribution, least = np.ones(1), 0
    for table in strata:
        probabilities, low = _hypergeometric(table)
        distribution, further = _trim(np.convolve(distribution, probabilities))
        least += low + further
    observed = sum(table.group_wrong for table in strata)
    return min(1.0, float(distribution[max(0, observed - least) :].sum()))


def _hypergeometric(table: Stratum) -> tuple[NDArray[np.float64], int]:
    """Return the probability of each number of wrong images in the group, and the first number.

    It sums the logarithms of the ratios of neighbouring probabilities: scipy's takes a time quadratic in the images.
    """
    low, high = max(0, table.wrong + table.group_n - table.n), min(table.wrong, table.group_n)
    k = np.arange(low, high, dtype=np.float64)
    up = np.log(table.wrong - k) + np.log(table.group_n - k)
    down = np.log(k + 1) + np.log(table.n - table.wrong - table.group_n + k + 1)
    logarithms = np.concatenate([np.zeros(1), np.cumsum(up - down)])
    probabilities = np.exp(logarithms - logarithms.max())
    trimmed, first = _trim(probabilities / probabilities.sum())
    return trimmed, low + first


def _trim(distribution: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Cut off both ends where probabilities vanish, and return the length of the first.

    What is left is some 70 standard deviations long. A convolution of all would take a time quadratic in the images.
    """
    kept = np.flatnonzero(distribution > _VANISHING)
    return distribution[kept[0] : kept[-1] + 1], int(kept[0])


def expected_accuracy(strata: tuple[Stratum, ...]) -> float | None:
    """Accuracy of the other images of the same classes, weighted by the group's number of images of each class.

    Returns:
        None if the group holds all images of each of its classes.
    """
    compared = [table for table in strata if table.n > table.group_n]
    weight = sum(table.group_n for table in compared)
    if not weight:
        return None
    wrong = sum(table.group_n * (table.wrong - table.group_wrong) / (table.n - table.group_n) for table in compared)
    return 1 - wrong / weight
