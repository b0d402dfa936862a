"""Neighbours of test images: the figures are those of slow loops, and what is kept is of these weights."""

import collections

import pytest
import torch

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inspection import Neighbours, embed_split, find_neighbours
from visionlib.runs import Run, read_json, write_json


def some(labels: list[int], predictions: list[int], neighbour_labels: list[list[int]]) -> Neighbours:
    n, k = torch.tensor(neighbour_labels).shape
    places = torch.arange(n * k).view(n, k)
    return Neighbours(
        index=torch.arange(n) * 10,
        labels=torch.tensor(labels),
        predictions=torch.tensor(predictions),
        positions=places,
        neighbour_index=places + 500,
        neighbour_labels=torch.tensor(neighbour_labels),
        distances=torch.rand(n, k).sort(1).values,
        classes=("a", "b", "c"),
    )


def test_the_fractions_of_a_case_solved_by_hand() -> None:
    found = some([0, 1, 2], [0, 1, 0], [[0, 0, 1], [2, 2, 2], [0, 1, 2]])
    assert found.agreement == pytest.approx((2 + 0 + 1) / 9)
    assert found.agreement_when_right == pytest.approx((2 + 0) / 6)
    assert found.agreement_when_wrong == pytest.approx(1 / 3)
    # The third is a tie, which goes to the class of the nearest: 0, and its label is 2.
    assert found.vote_accuracy == pytest.approx(1 / 3)


def test_fractions_of_nothing_are_none() -> None:
    right = some([0, 1], [0, 1], [[0, 0], [1, 0]])
    assert right.agreement_when_wrong is None
    assert right.to_dict()["agreement_when_wrong"] is None
    none = right.select(())
    assert len(none) == 0
    assert none.agreement is None
    assert none.vote_accuracy is None


def test_the_fractions_are_those_of_a_slow_loop() -> None:
    labels, predictions = (torch.randint(0, 3, (40,)).tolist() for _ in range(2))
    near = torch.randint(0, 3, (40, 5)).tolist()
    found = some(labels, predictions, near)
    agreeing = [[one == predicted for one in row] for row, predicted in zip(near, predictions, strict=True)]
    assert found.agreement == pytest.approx(sum(map(sum, agreeing)) / 200)
    votes = 0
    for row, label in zip(near, labels, strict=True):
        counts = collections.Counter(row)
        winner = next(one for one in row if counts[one] == max(counts.values()))
        votes += winner == label
    assert found.vote_accuracy == votes / 40


def test_images_are_selected_by_their_ids() -> None:
    found = some([0, 1, 2], [0, 1, 0], [[0, 0], [2, 2], [0, 1]])
    chosen = found.select((20, 0))
    assert chosen.index.tolist() == [20, 0]
    assert chosen.neighbour_labels.tolist() == [[0, 1], [0, 0]]
    assert [row["predicted"] for row in chosen.to_rows()] == ["a", "a"]
    with pytest.raises(ConfigError, match=r"image 5: the test split of 3 images has none of that index; .* 0 to 20"):
        found.select((0, 5))


def test_a_run_has_the_neighbours_of_a_slow_search(copied_run: Run, stripes: Dataset) -> None:
    found = find_neighbours(copied_run, 3, dataset=stripes)
    test = embed_split(copied_run).embeddings.double()
    train = embed_split(copied_run, "train").embeddings.double()
    for image in range(0, 120, 7):
        distances = [float(1 - (test[image] @ row) / (test[image].norm() * row.norm())) for row in train]
        order = sorted(range(len(train)), key=distances.__getitem__)[:3]
        assert found.positions[image].tolist() == order
        assert found.distances[image].tolist() == pytest.approx([distances[place] for place in order], abs=1e-6)
        assert found.neighbour_index[image].tolist() == stripes.train.index[order].tolist()
        assert found.neighbour_labels[image].tolist() == stripes.train.labels[order].tolist()
    assert found.index.equal(stripes.test.index)
    assert found.vote_accuracy is not None
    assert found.vote_accuracy > 0.8


def test_neighbours_are_kept_and_made_anew_for_other_weights(
    copied_run: Run, stripes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = find_neighbours(copied_run, 2, dataset=stripes)
    place = copied_run.inspection / "neighbours-test.json"
    with monkeypatch.context() as patch:
        patch.setattr("visionlib.inspection.neighbours.match_neighbours", None)
        kept = find_neighbours(copied_run, 2)
        assert kept.positions.equal(made.positions)
        assert kept.distances.equal(made.distances)
        assert kept.to_dict() == made.to_dict()
    assert find_neighbours(copied_run, 4).k == 4
    record = read_json(place)
    assert record["k"] == 4
    write_json(place, {**record, "weights_sha256": "other"})
    assert find_neighbours(copied_run, 4).positions[:, :2].equal(made.positions)
    assert read_json(place)["weights_sha256"] != "other"


def test_numbers_out_of_range_and_other_data_are_told(copied_run: Run, stripes: Dataset, small_shapes: Dataset) -> None:
    with pytest.raises(RunError, match="was trained on other data"):
        find_neighbours(copied_run, dataset=small_shapes)
    for k in (0, 241):
        with pytest.raises(ConfigError, match=f"neighbours: {k} is out of range; ask for 1 to 240"):
            find_neighbours(copied_run, k, dataset=stripes)
