"""One picture for each cluster, where the clusters can be told by hand."""

import math
from collections.abc import Sequence

import pytest
import torch
from jaxtyping import Float64
from torch import Tensor

from visionlib.inspection.batch_choice import choose_batch


def directions(*degrees: float, lengths: float = 1.0) -> Float64[Tensor, "n 2"]:
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return lengths * torch.stack([angles.cos(), angles.sin()], 1)


def weights(*values: float) -> Float64[Tensor, "n"]:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(8))
def test_each_cluster_gives_the_picture_nearest_to_its_weighted_centre(seed: int) -> None:
    embeddings = directions(0, 90, 10, 100, 20)
    choice = choose_batch(embeddings, weights(0.1, 0.6, 0.1, 0.5, 0.1), 2, seed=seed)
    assert choice.positions == (1, 2)
    assert choice.sizes == (2, 3)
    assert choice.scores == pytest.approx((1.1, 0.3))
    # An unsure picture draws the centre: (0.8 * 0 + 0.1 * 10 + 0.1 * 20) / 1.0 is 3 degrees.
    assert choose_batch(embeddings, weights(0.8, 0.6, 0.1, 0.5, 0.1), 2, seed=seed).positions == (1, 0)


def test_lengths_of_embeddings_do_not_count() -> None:
    embeddings = torch.rand(60, 5, dtype=torch.float64)
    uncertainty = torch.rand(60, dtype=torch.float64)
    lengths = 10.0 ** torch.randint(-3, 4, (60, 1))
    plain, scaled = (choose_batch(rows, uncertainty, 7, seed=3) for rows in (embeddings, lengths * embeddings))
    assert plain.positions == scaled.positions


def test_scores_and_sizes_divide_the_pictures_among_the_chosen() -> None:
    embeddings = torch.randn(200, 6, dtype=torch.float64)
    uncertainty = torch.rand(200, dtype=torch.float64)
    choice = choose_batch(embeddings, uncertainty, 20)
    assert len(set(choice.positions)) == 20
    assert sum(choice.sizes) == 200
    assert sum(choice.scores) == pytest.approx(float(uncertainty.sum()))
    assert list(choice.scores) == sorted(choice.scores, reverse=True)
    again, other = (choose_batch(embeddings, uncertainty, 20, seed=seed) for seed in (0, 1))
    assert again == choice
    assert other.positions != choice.positions


def test_too_few_pictures_are_all_chosen_the_most_unsure_first() -> None:
    choice = choose_batch(directions(0, 1, 2), weights(0.2, 0.9, 0.5), 3)
    assert (choice.positions, choice.sizes) == ((1, 2, 0), (1, 1, 1))
    assert choice.scores == (0.9, 0.5, 0.2)


def test_equal_embeddings_are_completed_by_the_most_unsure() -> None:
    choice = choose_batch(directions(30, 30, 30, 30, 30), weights(0.1, 0.2, 0.3, 0.4, 0.5), 3)
    assert choice.positions == (0, 4, 3)
    assert choice.sizes == (5, 1, 1)
    assert choice.scores == pytest.approx((1.5, 0.5, 0.4))


def test_a_network_that_is_sure_of_all_still_spreads_its_choice() -> None:
    choice = choose_batch(directions(0, 1, 2, 90, 91, 180), torch.zeros(6, dtype=torch.float64), 3)
    assert sorted(choice.positions) in ([1, 3, 5], [1, 4, 5])


def test_of_copies_the_next_one_is_chosen_or_none() -> None:
    """Two clusters; 10 degrees, nearest to its centre, is a copy of 90, and so is all of the third one."""
    embeddings = directions(90, 91, 10, 0, 22, 200, 201)
    uncertainty = weights(0.9, 0.8, 0.2, 0.2, 0.2, 0.1, 0.1)

    def is_copy(position: int, chosen: Sequence[int]) -> bool:
        return 0 in chosen and position in {2, 5, 6, 1}

    choice = choose_batch(embeddings, uncertainty, 3, is_copy=is_copy)
    assert choice.positions == (0, 3, 4)
    assert choice.sizes == (2, 3, 1)
    assert choice.scores == pytest.approx((1.7, 0.6, 0.2))
