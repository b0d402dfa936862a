"""Pointing game and energy, on maps and masks that can be solved by hand."""

import pytest
import torch

from tests.explanation.networks import Corner
from visionlib.explanation import make_map_maker
from visionlib.explanation.quality.localization import fraction_on_objects, mask_fractions, point_at_objects


def corner_masks(n: int, side: int = 8, *, is_lower: bool = False) -> torch.Tensor:
    masks = torch.zeros(n, side, side, dtype=torch.bool)
    if is_lower:
        masks[:, -3:, -3:] = True  # further from the other corner than the tolerance of a pixel
    else:
        masks[:, :4, :4] = True
    return masks


def test_a_network_that_looks_at_one_corner_points_there_and_nowhere_else() -> None:
    model, n = Corner(), 6
    inputs = torch.rand(n, 1, 8, 8) + 0.1
    maps = make_map_maker("hirescam", model, (1, 8, 8), layers=["pool"])(
        model, inputs, torch.zeros(n, dtype=torch.int64)
    )
    assert maps.shape == (n, 4, 4)
    assert bool(point_at_objects(maps, corner_masks(n)).all())
    assert not bool(point_at_objects(maps, corner_masks(n, is_lower=True)).any())
    assert fraction_on_objects(maps, corner_masks(n)).tolist() == pytest.approx([1.0] * n)
    assert fraction_on_objects(maps, corner_masks(n, is_lower=True)).tolist() == [0.0] * n


def test_by_hand() -> None:
    maps = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]]])
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[:, 1, 3] = True  # the pixel in the middle of the upper right cell
    masks[:, 0, 0] = True
    assert point_at_objects(maps, masks).tolist() == [True, False, False]


def test_an_object_within_a_pixel_of_the_maximum_is_hit_and_one_further_away_is_not() -> None:
    maps = torch.zeros(3, 8, 8)
    maps[:, 2, 2] = 1.0
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)  # the maximum's middle is at 10, 10
    masks[0, 10, 10] = masks[1, 11, 9] = masks[2, 12, 10] = True
    assert point_at_objects(maps, masks).tolist() == [True, True, False]


def test_energy_by_hand() -> None:
    maps = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]]])
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[:, 1, 3] = masks[:, 0, 0] = True
    # A quarter of each of the two upper cells belongs to the object.
    assert fraction_on_objects(maps, masks).tolist() == pytest.approx([0.25, 0.0, 0.125])
    assert mask_fractions(masks).tolist() == pytest.approx([2 / 16] * 3)


def test_a_map_that_knows_nothing_has_the_objects_share_of_the_area_on_it() -> None:
    masks = torch.rand(50, 16, 16) < 0.3
    even = torch.ones(50, 4, 4)
    assert fraction_on_objects(even, masks).numpy() == pytest.approx(mask_fractions(masks).numpy(), rel=1e-5)
