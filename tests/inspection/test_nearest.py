"""The nearest rows are those of a slow search, whatever the block."""

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from visionlib.inspection.nearest import find_nearest


@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("block_bytes", [1, 4 * 60 * 7, 2**20])
def test_they_are_scikit_learns(k: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionlib.inspection.nearest._BLOCK_BYTES", block_bytes)
    queries, references = torch.rand(23, 12).half(), torch.rand(60, 12).half()
    positions, distances = find_nearest(queries, references, k)
    slow = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(references.double().numpy())
    expected_distances, expected = slow.kneighbors(queries.double().numpy())
    assert positions.tolist() == expected.tolist()
    assert distances.numpy() == pytest.approx(expected_distances, abs=1e-6)


def test_a_hand_solved_case() -> None:
    references = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    positions, distances = find_nearest(torch.tensor([[5.0, 0.0]]), references, 4)
    assert positions.tolist() == [[0, 3, 1, 2]]
    assert distances[0].tolist() == pytest.approx([0, 1 - 0.5**0.5, 1, 2])


def test_of_equally_near_ones_the_first_comes_first() -> None:
    references = torch.rand(1, 6).repeat(40, 1)
    positions, distances = find_nearest(references[:3], references, 4)
    assert positions.sort(1).values.equal(positions)
    assert distances.max() < 1e-6


def test_almost_equally_near_ones_are_told_apart() -> None:
    query = torch.zeros(1, 512, dtype=torch.float64)
    query[0, 0] = 1
    references = query.repeat(6, 1)
    references[:, 1] = torch.tensor([6.0, 3.0, 5.0, 1.0, 4.0, 2.0]) * 1e-5
    positions, _ = find_nearest(query, references, 6)
    assert positions.tolist() == [[3, 5, 1, 4, 2, 0]]


def test_a_row_of_zeros_is_at_distance_one() -> None:
    _, distances = find_nearest(torch.zeros(1, 3), torch.rand(4, 3), 2)
    assert distances.tolist() == [[1.0, 1.0]]


def test_no_query_and_wrong_numbers() -> None:
    positions, distances = find_nearest(torch.zeros(0, 3), torch.rand(4, 3), 2)
    assert positions.shape == distances.shape == (0, 2)
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k must be from 1 to 4, and it is {k}"):
            find_nearest(torch.rand(1, 3), torch.rand(4, 3), k)
