"""Deletion and insertion against a loop over pixels."""

import pytest
import torch
from torch import Tensor

from visionlib.explanation.quality.perturbation import area_under, measure_curves, rank_pixels


def predict(shown: Tensor) -> Tensor:
    """Class 0 is as probable as the image is bright in its upper half."""
    bright = shown[:, :, : shown.shape[2] // 2].mean((1, 2, 3)).clamp(0, 1)
    return torch.stack([bright, 1 - bright], 1)


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_against_a_slow_loop(kind: str) -> None:
    inputs, maps, classes = torch.rand(3, 2, 4, 4), torch.rand(3, 4, 4), torch.tensor([0, 1, 0])
    curves = measure_curves(predict, inputs, classes, maps, kind, steps=16)  # type: ignore[arg-type]
    for at in range(3):
        places = sorted(((r, c) for r in range(4) for c in range(4)), key=lambda place: -float(maps[at][place]))
        for step in range(17):
            shown = inputs[at : at + 1].clone()
            gone = places[:step] if kind == "deletion" else places[step:]
            for row, column in gone:
                shown[0, :, row, column] = 0
            assert float(curves[at, step]) == pytest.approx(float(predict(shown)[0, classes[at]]), abs=1e-6)


def test_areas_by_hand() -> None:
    assert area_under(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.5, 1.0]])).tolist() == pytest.approx(
        [0.25, 1.0, 0.5]
    )


def test_pixels_of_a_cell_go_one_after_another_and_equal_ones_by_seed() -> None:
    maps = torch.tensor([[[0.0, 2.0], [1.0, 0.0]]])
    ranks = rank_pixels(maps, (4, 4))
    assert sorted(ranks.flatten().tolist()) == list(range(16))
    assert set(ranks[0, :2, 2:].flatten().tolist()) == set(range(4))
    assert set(ranks[0, 2:, :2].flatten().tolist()) == set(range(4, 8))
    even = torch.zeros(1, 2, 2)
    assert torch.equal(rank_pixels(even, (8, 8), seed=1), rank_pixels(even, (8, 8), seed=1))
    assert not torch.equal(rank_pixels(even, (8, 8), seed=1), rank_pixels(even, (8, 8), seed=2))


def test_a_map_of_what_matters_beats_its_opposite() -> None:
    inputs, classes = torch.ones(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    good = torch.zeros(2, 8, 8)
    good[:, :4] = 1
    areas = {
        (name, kind): float(area_under(measure_curves(predict, inputs, classes, maps, kind)).mean())
        for name, maps in (("good", good), ("bad", 1 - good))
        for kind in ("deletion", "insertion")
    }
    assert areas["good", "deletion"] == pytest.approx(0.25)
    assert areas["bad", "deletion"] == pytest.approx(0.75)
    assert areas["good", "insertion"] == pytest.approx(0.75)
    assert areas["bad", "insertion"] == pytest.approx(0.25)
