"""Copies are found however they were made, and other pictures are none."""

import pytest
import torch
from torch import Tensor

from tests.inspection.copying import IN_PLACE, MOVED
from visionlib.data import load_shapes
from visionlib.inspection.copies import CopyFinder, find_equal


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smoothed shapes: their grain is no detail that an enlarged copy keeps."""
    drawn = load_shapes(n_train=30, n_test=1).train.images.float()
    return torch.nn.functional.avg_pool2d(drawn, 3, 1, 1).round().to(torch.uint8)


@pytest.mark.parametrize("name", [*IN_PLACE, *MOVED])
def test_a_copy_of_any_kind_is_found_among_the_chosen(images: Tensor, name: str) -> None:
    copies = torch.stack([{**IN_PLACE, **MOVED}[name](image) for image in images])
    finder = CopyFinder(torch.cat([images, copies]))
    n = len(images)
    assert [finder.is_copy(n + at, range(n)) for at in range(n)].count(True) >= n - 1
    assert [finder.is_copy(at, [n + at]) for at in range(n)].count(True) >= n - 1
    assert not any(finder.is_copy(at, range(at)) for at in range(n))
    assert not any(finder.is_copy(at, []) for at in range(n))


@pytest.mark.parametrize("name", IN_PLACE)
def test_copies_in_place_are_found_among_all(images: Tensor, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionlib.inspection.copies._BLOCK_ROWS", 7)
    n = len(images)
    both = torch.cat([images, torch.stack([IN_PLACE[name](image) for image in images])])
    expected = {(at, n + at) for at in range(n)}
    assert find_equal(both, torch.arange(2 * n)) == expected
    assert find_equal(both, torch.arange(n, 2 * n)) == expected
    assert find_equal(both, torch.tensor([3])) == {(3, n + 3)}
    assert find_equal(images, torch.arange(n)) == set()


def test_smooth_pictures_are_copies_if_equal() -> None:
    ramp = torch.arange(32, dtype=torch.uint8).expand(1, 32, 32)
    images = torch.stack([ramp, ramp + 40, 2 * ramp, ramp])
    assert find_equal(images, torch.arange(4)) == {(0, 3)}
