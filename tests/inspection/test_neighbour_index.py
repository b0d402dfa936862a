"""An index finds what a search of all pairs finds, on any number of threads; without its library all is compared."""

import importlib.util
import warnings
from collections.abc import Iterator

import pytest
import torch

from tests.inspection.test_duplicates import CHANGES, make_dataset, textured
from visionlib.errors import VisionlibWarning
from visionlib.inspection import neighbour_index
from visionlib.inspection.duplicate_search import find_duplicates
from visionlib.inspection.embedding_duplicates import find_close_pairs
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.neighbour_index import NeighbourIndex, is_searched_exactly


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an index take over for any number of pairs."""
    monkeypatch.setattr(neighbour_index, "MOST_PAIRS", 0)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def draw_clusters(n: int, width: int = 16) -> torch.Tensor:
    """Rows round ten centres, as the embeddings of ten classes."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, width, generator=generator)
    return centres[torch.arange(n) % 10] + 0.3 * torch.randn(n, width, generator=generator)


def exact(queries: torch.Tensor, references: torch.Tensor, k: int) -> torch.Tensor:
    return (
        (torch.nn.functional.normalize(queries.double()) @ torch.nn.functional.normalize(references.double()).T)
        .topk(k)
        .indices
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_neighbours_are_those_of_a_search_of_all(indexed: None, dtype: torch.dtype, k: int) -> None:
    rows = draw_clusters(1500).to(dtype)
    queries, references = rows[:100], rows[100:]
    calls: list[int] = []
    positions, distances = find_nearest(queries, references, k, lambda done, note="": calls.append(done))
    assert positions.tolist() == exact(queries, references, k).tolist()
    cosines = torch.nn.functional.cosine_similarity(queries.double(), references[positions[:, -1]].double())
    assert distances[:, -1].tolist() == pytest.approx((1 - cosines).tolist(), abs=1e-6)
    assert calls[-1] == 100


def test_of_many_neighbours_hardly_one_is_missed(indexed: None) -> None:
    rows = draw_clusters(1500)
    found, expected = find_nearest(rows, rows, 40)[0], exact(rows, rows, 40)
    assert float((found[:, :, None] == expected[:, None]).any(2).double().mean()) > 0.999


def test_the_same_on_any_number_of_threads(threads: None) -> None:
    rows = draw_clusters(3000, 8)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(NeighbourIndex(rows).search(rows, 6))
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])


def test_many_equal_rows_hide_no_others(indexed: None) -> None:
    rows = draw_clusters(1000)
    rows[200:700] = rows[3]
    rows[700:720] = 0
    positions, distances = find_nearest(rows, rows, 3)
    assert positions[400].tolist() == [3, 200, 201]
    assert distances[400].max() < 1e-6
    others = torch.cat([torch.arange(200), torch.arange(720, 1000)])
    expected = exact(rows[others], rows, 3)
    is_alone = ~torch.isin(expected, torch.arange(200, 720)).any(1) & (expected != 3).all(1)
    assert int(is_alone.sum()) > 400
    assert positions[others][is_alone].tolist() == expected[is_alone].tolist()


def test_more_neighbours_than_an_index_reaches_are_searched_among_all(
    indexed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = draw_clusters(300)
    monkeypatch.setattr(NeighbourIndex, "search", lambda self, queries, count: torch.full((len(queries), count), -1))
    assert find_nearest(rows, rows, 4)[0].tolist() == exact(rows, rows, 4).tolist()


def test_fewer_rows_than_are_asked_for_are_marked() -> None:
    rows = draw_clusters(20)
    rows[5:] = rows[5]
    found = NeighbourIndex(rows).search(rows[:3], 25)
    assert found[:, :20].sort(1).values.tolist() == [list(range(20))] * 3
    assert found[:, 20:].eq(-1).all()


def test_close_pairs_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = draw_clusters(600)
    rows[17] = rows[5] + 0.001
    rows[400] = rows[5] - 0.001
    all_compared = find_close_pairs(rows)
    monkeypatch.setattr(neighbour_index, "MOST_PAIRS", 0)
    assert find_close_pairs(rows).equal(all_compared)
    assert [5, 17] in all_compared.tolist()


def test_planted_duplicates_are_found(indexed: None) -> None:
    train, test = textured(200), textured(60, seed=1)
    for number, change in enumerate(CHANGES.values()):
        test[number] = change(train[7 * number])
        test[30 + number] = change(train[7 * number + 1]).flip(2)
    test[50:60] = train[100]
    found = find_duplicates(make_dataset(train, test))
    assert not found.is_exhaustive
    assert found.to_dict()["is_exhaustive"] is False
    leaks = {pair.positions: pair.kind for pair in found.between("train", "test")}
    assert leaks == {
        **{(7 * number, number): "near" for number in range(len(CHANGES))},
        **{(7 * number + 1, 30 + number): "mirrored" for number in range(len(CHANGES))},
        **{(100, number): "exact" for number in range(50, 60)},
    }


def test_without_the_library_all_is_compared_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = draw_clusters(50)
    expected = find_nearest(rows, rows, 3)
    monkeypatch.setattr(neighbour_index, "MOST_PAIRS", 2499)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "faiss" else find_spec(name, *rest)
    )
    with pytest.warns(
        VisionlibWarning, match=r"2,500 pairs of images .* pip install 'visionlib-torch\[index\]'"
    ) as told:
        found = find_nearest(rows, rows, 3)
    assert len(told) == 1
    assert found[0].equal(expected[0])
    with pytest.warns(VisionlibWarning, match="4,950 pairs"):
        assert find_duplicates(make_dataset(textured(60), textured(40, seed=1))).is_exhaustive
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_nearest(rows[:49], rows, 3)  # as many pairs as are always compared, less 49


def test_the_limit_is_of_pairs() -> None:
    assert is_searched_exactly(65_536 * 65_536)
    assert not is_searched_exactly(65_536 * 65_536 + 1)
