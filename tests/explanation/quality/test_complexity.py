"""Sparseness and entropy of maps: solved by hand, and against loops over the cells."""

import math

import pytest
import torch

from tests.oracles import evidence_entropy, gini_index
from visionlib.explanation.quality.complexity import measure_entropy, measure_gini


def test_by_hand() -> None:
    maps = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [7.0, 0.0]], [[1.0, 0.0], [3.0, 0.0]]])
    # Sorted 0, 0, 1/4, 3/4 with weights 3.5/4, 2.5/4, 1.5/4, 0.5/4: 1 - 2 (1.5/16 + 1.5/16).
    assert measure_gini(maps).tolist() == pytest.approx([0, 3 / 4, 5 / 8])
    assert measure_entropy(maps).tolist() == pytest.approx(
        [math.log(4), 0, -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))]
    )


def test_against_loops_over_the_cells() -> None:
    maps = torch.randn(9, 5, 7) ** 3
    maps[3:, :2] = 0
    values = [one.flatten().tolist() for one in maps]
    assert measure_gini(maps).tolist() == pytest.approx([gini_index(one) for one in values], abs=1e-6)
    assert measure_entropy(maps).tolist() == pytest.approx([evidence_entropy(one) for one in values], abs=1e-5)


def test_they_do_not_depend_on_scale_and_are_unknown_without_evidence() -> None:
    maps = torch.rand(3, 4, 4)
    for measure in (measure_gini, measure_entropy):
        assert measure(1e-20 * maps).tolist() == pytest.approx(measure(maps).tolist(), rel=1e-4)
        assert bool(measure(torch.zeros(2, 3, 3)).isnan().all())
        assert measure(torch.zeros(0, 3, 3)).shape == (0,)
