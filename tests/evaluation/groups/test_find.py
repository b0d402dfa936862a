"""Planted groups are found and described, nothing is found where nothing is, and results are kept."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.groups.planted import draw, draw_mistakes, object_sizes, predict
from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation import find_groups, load_groups, load_predictions, search_groups
from visionlib.evaluation.groups.conditions import Conditions
from visionlib.evaluation.groups.find import draw_half, gather_conditions
from visionlib.evaluation.groups.judging import MOST_PROPOSED, Judge
from visionlib.evaluation.groups.weak_groups import LEVEL, WeakGroups, write_group_images
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import Run


@pytest.fixture(scope="module")
def small_objects() -> WeakGroups:
    split = draw()
    rates = torch.where(object_sizes(split) < object_sizes(split).quantile(0.15), 0.5, 0.05)
    return search_groups(predict(split, draw_mistakes(rates, 0)), split)


def test_a_planted_property_is_found_and_described(small_objects: WeakGroups) -> None:
    (group,) = small_objects.groups
    assert group.description == "small object"
    (condition,) = group.conditions
    assert (condition.name, condition.relation) == ("object size", "at most")
    assert group.p_adjusted < 1e-4
    assert group.accuracy is not None
    assert group.expected_accuracy is not None
    assert group.accuracy < 0.75 < 0.9 < group.expected_accuracy
    assert 0 < group.taken_for_n <= group.wrong


def test_numbers_are_those_of_the_images_it_lists(small_objects: WeakGroups) -> None:
    split = draw()
    sizes = object_sizes(split)
    rates = torch.where(sizes < sizes.quantile(0.15), 0.5, 0.05)
    is_wrong = draw_mistakes(rates, 0)
    (group,) = small_objects.groups
    is_tested = draw_half(split.labels, split.index, 0)
    is_tested = is_tested if is_tested[group.images.index[0]] == group.images.is_tested[0] else ~is_tested
    assert isinstance(group.conditions[0].value, float)
    members = sizes.double() <= group.conditions[0].value
    assert sorted(group.images.index) == members.nonzero().flatten().tolist()
    assert (group.n, group.wrong) == (int((members & is_tested).sum()), int((members & is_tested & is_wrong).sum()))
    assert (group.rest_n, group.rest_wrong) == (
        int((~members & is_tested).sum()),
        int((~members & is_tested & is_wrong).sum()),
    )
    for index, _, true, said, is_correct, tested in group.images.to_rows():
        assert is_correct == (true == said) == (not is_wrong[index])
        assert true == split.classes[int(split.labels[index])]
        assert tested == bool(is_tested[index])
    rights = [row[4] for row in group.images.to_rows()]
    assert rights == sorted(rights)  # the mistakes first


def test_a_property_within_a_class_is_found_with_both() -> None:
    split = draw()
    pentagon = split.classes.index("pentagon")
    sizes = object_sizes(split)
    chosen = (split.labels == pentagon) & (sizes < sizes[split.labels == pentagon].quantile(0.33))
    found = search_groups(predict(split, draw_mistakes(torch.where(chosen, 0.9, 0.04), 1)), split)
    assert [group.description for group in found.groups] == ["pentagon, small object"]


def test_a_class_alone_is_no_group() -> None:
    split = draw()
    rates = torch.where(split.labels == 3, 0.8, 0.02)
    assert search_groups(predict(split, draw_mistakes(rates, 0)), split).groups == ()


def test_metadata_make_groups(tmp_path: Path) -> None:
    split = draw()
    is_second = torch.arange(len(split)) % 7 == 0
    lines = [f"{at},{'B' if second else 'A'}" for at, second in enumerate(is_second.tolist())]
    (tmp_path / "cameras.csv").write_text("index,camera\n" + "\n".join(lines))
    predictions = predict(split, draw_mistakes(torch.where(is_second, 0.4, 0.03), 0))
    (group,) = search_groups(predictions, split, metadata=tmp_path / "cameras.csv").groups
    assert group.description == "camera B"


def test_clusters_make_groups_and_predictions_do_not() -> None:
    split = draw()
    torch.manual_seed(0)
    # A direction of the embedding that no logit reads, in a tenth of the images, which are weak.
    is_apart = torch.rand(len(split)) < 0.1
    is_wrong = draw_mistakes(torch.where(is_apart, 0.5, 0.05), 2)
    plain = predict(split, is_wrong)
    embeddings = torch.cat([plain.logits, torch.randn(len(split), 8)], 1)
    embeddings[:, 12] += 12 * is_apart
    (group,) = search_groups(replace(plain, embeddings=embeddings.half()), split).groups
    assert [condition.name for condition in group.conditions] == ["cluster"]
    assert set(group.images.index) == set(is_apart.nonzero().flatten().tolist())
    # Embeddings that are the logits know every mistake, and are no property of the images.
    other = predict(split, draw_mistakes(torch.full((1000,), 0.1), 3))
    found = search_groups(replace(other, embeddings=other.logits.half()), split)
    assert "there are no clusters in the embedding to look at" in found.notes


def test_a_larger_group_that_is_weak_by_a_smaller_one_is_left_out() -> None:
    split = draw()
    circle = split.classes.index("circle")
    sizes = object_sizes(split)
    large = sizes >= sizes[split.labels == circle].quantile(0.7)
    found = search_groups(
        predict(split, draw_mistakes(torch.where(large & (split.labels == circle), 0.9, 0.03), 4)), split
    )
    assert [group.description for group in found.groups] == ["circle, large object"]
    assert len(found.tested) <= 2 * MOST_PROPOSED


def permute_within_classes(values: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    permuted = values.clone()
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        permuted[members] = values[members[torch.randperm(len(members), generator=generator)]]
    return permuted


def count_alarms(sets: int, draws: int) -> int:
    """Draw mistakes that depend on the class alone, and count the searches that report a group."""
    alarms = 0
    for seed in range(sets):
        split = draw(600, seed)
        generator = torch.Generator().manual_seed(seed)
        half = draw_half(split.labels, split.index, seed)
        embeddings = torch.randn(len(split), 16, generator=generator)
        halves, _ = gather_conditions(predict(split, split.labels < 0, embeddings), split, (half, ~half), seed=seed)
        rates = (0.02 + 0.3 * torch.rand(10, generator=generator))[split.labels]
        is_wrong = torch.rand(len(split), generator=generator) < rates
        for _ in range(draws):
            is_wrong = permute_within_classes(is_wrong, split.labels, generator)
            groups = Judge(predict(split, is_wrong), split).search(halves)
            alarms += any(group.verdict == "weak" for group in groups)
    return alarms


def test_random_mistakes_raise_few_alarms() -> None:
    # With 5 % of 12, 4 or more have a probability of 0.2 %.
    assert count_alarms(1, 12) <= 3


@pytest.mark.slow
def test_random_mistakes_raise_at_most_five_percent_of_alarms() -> None:
    # With 5 % of 800, 55 or more have a probability of 1 %.
    assert count_alarms(40, 20) <= 54


def test_the_judge_tests_what_one_half_did_not_see() -> None:
    """Mistakes of the proposing half alone, all in one group: it is proposed, and not confirmed."""
    split = draw()
    half = draw_half(split.labels, split.index, 0)
    small = object_sizes(split) < object_sizes(split).quantile(0.1)
    is_wrong = (small & half) | (torch.arange(len(split)) % 17 == 0)
    halves, _ = gather_conditions(predict(split, is_wrong), split, (half,))
    judge = Judge(predict(split, is_wrong), split)
    groups = judge.search(halves)
    assert any("small object" in group.description for group in groups)
    assert all(group.verdict == "not significant" for group in groups)
    assert judge.search([(Conditions((), torch.zeros(len(split), 0, dtype=torch.bool)), half)]) == ()


def test_halves_have_the_classes_by_seed_and_index() -> None:
    split = draw()
    half = draw_half(split.labels, split.index, 5)
    assert torch.bincount(split.labels[half]).tolist() == [50] * 10
    order = torch.randperm(len(split))
    assert draw_half(split.labels[order], split.index[order], 5).tolist() == half[order].tolist()
    assert draw_half(split.labels, split.index, 6).tolist() != half.tolist()
    assert draw_half(torch.tensor([0, 0, 0, 1]), torch.arange(4), 0).sum() == 1


@pytest.mark.parametrize("n", [0, 1, 12])
def test_few_images_have_no_groups(n: int) -> None:
    split = draw().subset(torch.arange(n))
    found = search_groups(predict(split, torch.arange(n) % 2 == 0), split)
    assert (found.groups, found.n) == ((), n)
    json.dumps(found.to_dict(), allow_nan=False)


def test_perfect_and_useless_networks_have_no_groups() -> None:
    split = draw()
    for is_wrong in (split.labels < 0, split.labels >= 0):
        assert search_groups(predict(split, is_wrong), split).tested == ()


def test_predictions_of_other_images_are_refused() -> None:
    with pytest.raises(RunError, match="logits: are of 1000 images for 10 labels"):
        search_groups(predict(draw(), draw().labels < 0), draw().subset(torch.arange(10)))


def test_csv_has_every_image(small_objects: WeakGroups, tmp_path: Path) -> None:
    write_group_images(small_objects, tmp_path / "groups.csv")
    with (tmp_path / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    (group,) = small_objects.groups
    assert [int(row["index"]) for row in rows] == list(group.images.index)
    assert {row["description"] for row in rows} == {"small object"}
    assert sum(row["is_correct"] == "False" and row["is_tested"] == "True" for row in rows) == group.wrong


@pytest.fixture
def run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_a_run_keeps_its_groups(run: Run, small_shapes: Dataset) -> None:
    found = find_groups(run, dataset=small_shapes, seed=3)
    assert load_groups(run) == found
    assert (found.n, found.n_halves, found.seed, found.level) == (70, (30, 40), 3, LEVEL)
    record = json.loads(run.groups.read_text())
    record["weights_sha256"] = "0"
    run.groups.write_text(json.dumps(record))
    with pytest.raises(RunError, match="was made with other weights; make it anew with `visionlib groups"):
        load_groups(run)


def test_groups_come_back_whole(small_objects: WeakGroups, run: Run) -> None:
    small_objects.save(run)
    assert load_groups(run) == small_objects
    record = json.loads(run.groups.read_text())
    record["groups"][0]["wrong"] = 10_000
    run.groups.write_text(json.dumps(record))
    with pytest.raises(RunError, match="has more wrong images than images"):
        load_groups(run)


def test_a_network_in_memory_gives_what_its_run_gives(run: Run, small_shapes: Dataset) -> None:
    of_run = find_groups(run, dataset=small_shapes)
    model = TrainedModel.from_run(run, device="cpu")
    assert find_groups(model, small_shapes) == of_run
    assert find_groups(model.network, small_shapes.test, mean=model.mean, std=model.std) == of_run
    assert load_predictions(run).predictions.embeddings is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "split: there is none to score the network on"),
        ({"split": draw, "dataset": "shapes"}, "dataset: is for runs"),
        ({"split": draw}, "mean, std: are not known of a network alone"),
    ],
)
def test_a_network_needs_its_images_and_preprocessing(options: dict[str, object], message: str) -> None:
    options = {name: value() if callable(value) else value for name, value in options.items()}
    with pytest.raises(ConfigError, match=message):
        find_groups(nn.Flatten(), **options)  # type: ignore[call-overload]


def test_a_run_takes_no_split(run: Run) -> None:
    with pytest.raises(ConfigError, match="split: is for networks"):
        find_groups(run, split=draw())  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="mean: is for networks"):
        find_groups(run, mean=(0.5,))  # type: ignore[call-overload]
