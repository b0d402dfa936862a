"""The grid game: four images as one, and whose quarter the evidence lies in."""

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Linear, Tiny
from visionlib.explanation import make_map_maker
from visionlib.explanation.quality.grid_game import choose_grids, play_grids

GRIDS = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])


def flat_inputs() -> Tensor:
    """Images of one value each, from 1 to 4."""
    return torch.arange(1.0, 5.0)[:, None, None, None].expand(4, 1, 4, 4).clone()


def where_it_is(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """Point exactly at the image whose value is the class."""
    return (inputs[:, 0] == classes[:, None, None]).float()


def everywhere(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    return torch.ones(len(inputs), 4, 4)


def nowhere(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    return torch.zeros(len(inputs), 4, 4)


def test_known_values() -> None:
    labels = torch.arange(1, 5)
    for make, expected in ((where_it_is, 1.0), (everywhere, 0.25), (nowhere, 0.0)):
        shares = play_grids(make, Tiny(), flat_inputs(), labels, GRIDS)
        assert shares is not None
        assert shares.tolist() == [expected] * 8


def test_a_network_that_cannot_take_larger_inputs_has_no_figure() -> None:
    model = Linear((1, 4, 4), classes=4)
    maker = make_map_maker("gradient", model, (1, 4, 4))
    assert play_grids(maker, model, flat_inputs(), torch.arange(4), GRIDS) is None


def test_grids_are_of_confident_right_images_of_four_classes_each_once() -> None:
    torch.manual_seed(1)
    labels = torch.arange(400) % 6
    probabilities = torch.full((400, 6), 0.01)
    probabilities[torch.arange(400), labels] = 0.95
    probabilities[::5] = 1 / 6  # not sure
    probabilities[1::7] = probabilities[1::7].roll(1, dims=1)  # wrong
    index = torch.arange(400) + 1000
    grids = choose_grids(probabilities, labels, index, 20, seed=3)
    assert grids.shape == (20, 4)
    used = grids.flatten().tolist()
    assert len(set(used)) == len(used)
    assert all(len({int(labels[at]) for at in grid}) == 4 for grid in grids.tolist())
    assert all(at % 5 and at % 7 != 1 for at in used)
    assert torch.equal(grids, choose_grids(probabilities, labels, index, 20, seed=3))
    assert not torch.equal(grids, choose_grids(probabilities, labels, index, 20, seed=4))


def test_with_fewer_than_four_classes_there_are_none() -> None:
    probabilities = torch.eye(3)[torch.arange(30) % 3]
    grids = choose_grids(probabilities, torch.arange(30) % 3, torch.arange(30), 5, seed=0)
    assert grids.shape == (0, 4)
    assert play_grids(everywhere, Tiny(), torch.zeros(30, 1, 4, 4), torch.zeros(30, dtype=torch.int64), grids) == (
        pytest.approx(torch.zeros(0).numpy())
    )
