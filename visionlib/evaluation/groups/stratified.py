"""Statistics of a group against the other images of the same classes: a group's class alone never makes it weak."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor


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
    from scipy.stats import hypergeom

    distribution, least = np.ones(1), 0
    for table in strata:
        low, high = max(0, table.wrong + table.group_n - table.n), min(table.wrong, table.group_n)
        distribution = np.convolve(
            distribution, hypergeom.pmf(np.arange(low, high + 1), table.n, table.wrong, table.group_n)
        )
        least += low
    observed = sum(table.group_wrong for table in strata)
    return min(1.0, float(distribution[observed - least :].sum()))


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
