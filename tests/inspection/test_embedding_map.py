"""The map shows who is near whom, is the same every time, and is never of other weights."""

import shutil

import pytest
import torch
from jaxtyping import Float16
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inspection import EmbeddingMap, MapSettings, SplitEmbeddings, load_map, map_embeddings
from visionlib.inspection.embedding_map import lay_out_map
from visionlib.runs import Run, read_json, write_json

QUICK = MapSettings(iterations=300)


def as_split(embeddings: Float16[Tensor, "n d"], labels: list[int] | None = None) -> SplitEmbeddings:
    n = len(embeddings)
    given = torch.zeros(n, dtype=torch.int64) if labels is None else torch.tensor(labels)
    return SplitEmbeddings("test", torch.arange(n), given, given, embeddings, ("a", "b", "c"), "w", "c")


def three_blobs(n: int = 90, d: int = 20) -> SplitEmbeddings:
    labels = [place % 3 for place in range(n)]
    centres = 10 * torch.eye(3, d)
    return as_split((centres[labels] + 0.3 * torch.randn(n, d)).half(), labels)


def trust_by_loops(rows: Tensor, positions: Tensor, k: int) -> float:
    """Venna and Kaski's definition, image by image."""
    n = len(rows)
    penalty = 0
    for image in range(n):
        others = [other for other in range(n) if other != image]
        by_rows = sorted(others, key=lambda other: float((rows[image] - rows[other]).norm()))
        by_place = sorted(others, key=lambda other: float((positions[image] - positions[other]).norm()))
        penalty += sum(max(0, by_rows.index(other) + 1 - k) for other in by_place[:k])
    return 1 - penalty * 2 / (n * k * (2 * n - 3 * k - 1))


def test_what_is_apart_is_drawn_apart() -> None:
    blobs = three_blobs()
    found = lay_out_map(blobs, QUICK)
    apart = torch.cdist(found.positions, found.positions).fill_diagonal_(torch.inf)
    assert blobs.labels[apart.argmin(1)].equal(blobs.labels)
    within = max(float(torch.pdist(found.positions[blobs.labels == label]).max()) for label in range(3))
    middles = torch.stack([found.positions[blobs.labels == label].mean(0) for label in range(3)])
    assert float(torch.pdist(middles).min()) > within
    assert found.positions.isfinite().all()
    assert 0 < found.kl_divergence < 2


def test_trustworthiness_is_its_definition() -> None:
    rows = three_blobs(n=60)
    found = lay_out_map(rows, QUICK)
    assert (found.trustworthiness_n, found.trustworthiness_neighbours) == (60, 12)
    expected = trust_by_loops(rows.embeddings.double(), found.positions.double(), 12)
    assert found.trustworthiness == pytest.approx(expected, abs=1e-6)
    shuffled = trust_by_loops(rows.embeddings.double(), found.positions.double()[torch.randperm(60)], 12)
    assert found.trustworthiness > 0.8 > shuffled


def test_the_same_embeddings_give_the_same_bits_with_any_number_of_threads() -> None:
    blobs = three_blobs(n=300)
    expected = lay_out_map(blobs, QUICK)
    for threads in (1, 2, 5):
        with threadpool_limits(threads):
            found = lay_out_map(blobs, QUICK)
            assert {pool["num_threads"] for pool in threadpool_info()} <= {threads}
        assert found.positions.equal(expected.positions), threads
        assert found.to_dict() == expected.to_dict(), threads


@pytest.mark.parametrize("n", [5, 6, 12])
def test_few_images_get_a_map_with_less_perplexity(n: int) -> None:
    found = lay_out_map(three_blobs(n=n, d=8), QUICK)
    assert found.perplexity == pytest.approx((n - 1) / 3)
    assert found.positions.isfinite().all()
    assert len(set(map(tuple, found.positions.tolist()))) == n


def test_too_few_images_and_equal_embeddings_are_told() -> None:
    with pytest.raises(RunError, match="test: 4 images are too few for a map; it takes at least 5"):
        lay_out_map(three_blobs(n=4), QUICK)
    with pytest.raises(RunError, match="test: all images have the same embedding"):
        lay_out_map(as_split(torch.ones(20, 6).half()), QUICK)


def test_of_many_images_some_are_chosen_by_seed() -> None:
    blobs = three_blobs(n=200)
    settings = MapSettings(iterations=250, most_images=40)
    first, again, other = (
        lay_out_map(blobs, settings),
        lay_out_map(blobs, settings),
        lay_out_map(blobs, MapSettings(iterations=250, most_images=40, seed=1)),
    )
    assert first.index.equal(again.index)
    assert not first.index.equal(other.index)
    assert first.index.equal(first.index.sort().values)
    assert first.labels.equal(blobs.labels[first.index])
    assert first.to_dict()["n"] == 40
    assert first.to_dict()["n_split"] == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("perplexity", 0.5), ("iterations", 249), ("components", 1), ("most_images", 4), ("seed", -1), ("angle", -0.1)],
)
def test_settings_out_of_range_are_told(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: {value} is out of range; it must be at least"):
        MapSettings(**{name: value})  # type: ignore[arg-type]


def same(first: EmbeddingMap, second: EmbeddingMap) -> bool:
    names = ("index", "positions", "labels", "predictions")
    return first.to_dict() == second.to_dict() and all(getattr(first, n).equal(getattr(second, n)) for n in names)


def test_a_map_is_kept_and_read_back(copied_run: Run, stripes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = map_embeddings(copied_run, settings=QUICK)
    assert made.index.equal(stripes.test.index)
    assert made.labels.equal(stripes.test.labels)
    assert same(load_map(copied_run), made)
    monkeypatch.setattr("visionlib.inspection.embedding_map.lay_out_map", None)
    assert same(map_embeddings(copied_run, settings=QUICK), made)
    with pytest.raises(RunError, match="was made with other settings"):
        load_map(copied_run, settings=MapSettings())


def test_a_map_of_other_weights_is_refused_and_made_anew(copied_run: Run) -> None:
    made = map_embeddings(copied_run, settings=QUICK)
    record = read_json(copied_run.inspection / "map-test.json")
    write_json(copied_run.inspection / "map-test.json", {**record, "weights_sha256": "other"})
    with pytest.raises(RunError, match="was made with other weights"):
        load_map(copied_run)
    assert same(map_embeddings(copied_run, settings=QUICK), made)
    assert same(load_map(copied_run), made)


def test_the_training_split_has_a_map_too(copied_run: Run, stripes: Dataset) -> None:
    made = map_embeddings(copied_run, "train", QUICK, dataset=stripes)
    assert made.split == "train"
    assert made.index.equal(stripes.train.index)
    shutil.rmtree(copied_run.inspection)
    assert same(map_embeddings(copied_run, "train", QUICK, dataset=stripes), made)
