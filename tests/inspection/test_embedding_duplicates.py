"""Embeddings find what thumbnails miss, report it apart, and say how near the known pairs are."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.inspection.planted import striped_dataset
from tests.inspection.test_duplicates import make_dataset, textured
from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inspection import (
    Duplicates,
    compare_embeddings,
    embed_split,
    find_duplicates,
    load_duplicates,
    write_duplicates,
)
from visionlib.inspection.duplicate_picture import describe_duplicates, draw_duplicates
from visionlib.inspection.embedding_duplicates import find_close_pairs, match_embeddings
from visionlib.runs import Run


def draw_rows(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))


def find_slowly(rows: torch.Tensor) -> set[tuple[int, int]]:
    """Compare every distance of every row, in float64, without itself, with half of its fifth smallest."""
    vectors = [row / np.linalg.norm(row) for row in rows.double().numpy()]
    found = set()
    for i, one in enumerate(vectors):
        near = sorted((1 - float(one @ other), j) for j, other in enumerate(vectors) if j != i)
        found |= {(min(i, j), max(i, j)) for distance, j in near[:4] if distance <= near[4][0] / 2}
    return found


def test_close_pairs_are_those_of_a_slow_loop() -> None:
    rows = draw_rows(80)
    rows[7] = rows[3] + 0.3 * draw_rows(1, seed=1)[0]
    rows[30:34] = rows[20] + 0.2 * draw_rows(4, seed=2)
    # A cluster in which all are equally near: no pair is closer than the others.
    rows[50:60] = rows[50] + 0.2 * draw_rows(10, seed=3)
    found = {(i, j) for i, j in find_close_pairs(rows).tolist()}
    assert found == find_slowly(rows)
    assert (3, 7) in found
    assert {(20, 30), (30, 31), (32, 33)} <= found
    assert not any(50 <= i < 60 and 50 <= j < 60 for i, j in found)


def test_equal_rows_and_few_rows() -> None:
    rows = draw_rows(30)
    rows[10:20] = rows[10]
    found = find_close_pairs(rows)
    # More of them than are looked at: of each four, and itself is never among them.
    assert len(found) >= 20
    assert all(10 <= i < j < 20 for i, j in found.tolist())
    assert find_close_pairs(draw_rows(5)).shape == (0, 2)
    assert find_close_pairs(draw_rows(0)).shape == (0, 2)
    assert find_close_pairs(torch.zeros(10, 4)).shape == (0, 2)


@pytest.fixture
def planted() -> tuple[Dataset, dict[str, torch.Tensor]]:
    """Test image 3 is train image 7, shifted, and 4 is 8, mirrored as well; 5 and 9 look alike to the network alone."""
    train, test = textured(60), textured(40, seed=1)
    test[3] = train[7].roll(1, 2)
    test[4] = train[8].roll(1, 1).flip(2)
    embeddings = {"train": draw_rows(60), "test": draw_rows(40, seed=1)}
    for here, there in ((3, 7), (4, 8), (5, 9)):
        embeddings["test"][here] = embeddings["train"][there] + 0.2 * draw_rows(1, seed=here)[0]
    return make_dataset(train, test), embeddings


def test_pairs_that_no_one_knew_are_reported_apart(planted: tuple[Dataset, dict[str, torch.Tensor]]) -> None:
    dataset, embeddings = planted
    nothing = Duplicates((), True, {"train": 60, "test": 40})
    found = match_embeddings(nothing, dataset, embeddings)
    assert found.pairs == ()
    assert found.by_embeddings is not None
    assert {(pair.splits, pair.positions) for pair in found.by_embeddings} == {
        (("train", "test"), (7, 3)),
        (("train", "test"), (8, 4)),
    }
    for pair in found.by_embeddings:
        a, b = (embeddings[name][at].double() for name, at in zip(pair.splits, pair.positions, strict=True))
        assert pair.cosine == pytest.approx(float(a @ b / a.norm() / b.norm()), abs=1e-6)
        assert (pair.kind, pair.index) == ("embedding", tuple(at + 100 for at in pair.positions))
        assert pair.correlation >= 0.7
        assert pair.detail_correlation >= 0.3


def test_pairs_that_are_known_get_their_cosine_and_are_not_told_twice(
    planted: tuple[Dataset, dict[str, torch.Tensor]],
) -> None:
    dataset, embeddings = planted
    known = find_duplicates(dataset)
    assert {pair.kind for pair in known.pairs} == {"near", "mirrored"}
    assert all(pair.cosine is None for pair in known.pairs)
    found = match_embeddings(known, dataset, embeddings)
    assert found.by_embeddings == ()
    assert [dataclasses.replace(pair, cosine=None) for pair in found.pairs] == list(known.pairs)
    assert all(pair.cosine is not None and pair.cosine > 0.9 for pair in found.pairs)
    assert found.counts()[2]["embedding"] == 0
    assert "embedding" not in known.counts()[2]


def test_table_picture_and_record_keep_them_apart(
    planted: tuple[Dataset, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    dataset, embeddings = planted
    one = find_duplicates(dataset)
    some = dataclasses.replace(one, pairs=one.pairs[:1])
    found = match_embeddings(some, dataset, embeddings)
    assert found.by_embeddings is not None
    assert len(found.by_embeddings) == 1
    write_duplicates(found, tmp_path / "pairs.csv")
    with (tmp_path / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == [found.pairs[0].kind, "embedding"]
    assert [float(row["cosine"]) for row in rows] == [found.pairs[0].cosine, found.by_embeddings[0].cosine]
    record = json.loads(json.dumps(found.to_dict()))
    assert record["by_embeddings"] == [found.by_embeddings[0].to_dict()]
    assert record["thresholds"]["embedding"] == {"nearness": 0.5, "pixels": 0.7, "detail": 0.3}
    assert describe_duplicates(found).endswith("The embeddings of a run find 1 more.")
    figure = draw_duplicates(found, dataset)
    assert len(figure.axes[0].images) == 4
    assert "found by the embeddings alone" in [text.get_text() for text in figure.axes[0].texts]
    assert some.to_dict()["by_embeddings"] is None


def test_no_images_have_none() -> None:
    empty = make_dataset(textured(0), textured(0))
    found = match_embeddings(Duplicates((), True, {"train": 0, "test": 0}), empty, {})
    assert (found.pairs, found.by_embeddings) == ((), ())


def test_a_run_is_asked_about_the_data_that_it_was_trained_on(copied_run: Run, stripes: Dataset) -> None:
    known = find_duplicates(stripes)
    found = compare_embeddings(known, stripes, copied_run)
    rows = {name: embed_split(copied_run, name).embeddings for name in stripes.splits}
    assert found == match_embeddings(known, stripes, rows)
    assert load_duplicates(copied_run) == found
    assert found.by_embeddings is not None
    with pytest.raises(RunError, match="was trained on other data than stripes holds now"):
        compare_embeddings(known, striped_dataset(60, 12), copied_run)
    with pytest.raises(ConfigError, match="run: is only compared with near duplicates"):
        compare_embeddings(find_duplicates(stripes, near=False), stripes, copied_run)
    copied_run.predictions.unlink()
    with pytest.raises(RunError, match="lacks its predictions"):
        compare_embeddings(known, stripes, copied_run)
