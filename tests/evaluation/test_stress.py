"""Accuracy under corruption: measures solved by hand, a null test, and every kind of network that can go in."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.corruption import CORRUPTIONS, corrupt_images
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.evaluation import StressResult, load_stress, stress, wilson_interval
from visionlib.evaluation.pictures.stress import describe_stress, draw_stress
from visionlib.evaluation.stress import measure
from visionlib.evaluation.stress.answers import Answers
from visionlib.evaluation.stress.result import MADE_HERE
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_json, write_json


def make_result(names: tuple[str, ...], right: dict[tuple[int, int], list[int]], labels: list[int]) -> StressResult:
    """Images that are all right without corruption; `right` lists the correct ones of some conditions."""
    n, k = len(labels), len(names)
    is_correct = torch.ones(k, 5, n, dtype=torch.bool)
    for (row, strength), images in right.items():
        is_correct[row, strength - 1] = torch.tensor([image in images for image in range(n)])
    clean, clean_confidences = torch.ones(n, dtype=torch.bool), torch.full((n,), 0.9, dtype=torch.float64)
    confidences = torch.full((k, 5, n), 0.7, dtype=torch.float64)
    answers = Answers(names, torch.tensor(labels), clean, is_correct, clean_confidences, confidences)
    names_of = ("cat", "dog", "empty")
    return answers.summarize(
        names_of, n_split=40, seed=0, network="by hand", source=MADE_HERE, temperature=None, content_hash="0"
    )


def test_measures_solved_by_hand() -> None:
    # Fog takes images 2 and 3, the dogs, at strength 5, and image 3 at 4; a shift takes all at 5, and does not count.
    right = {(0, 4): [0, 1, 2], (0, 5): [0, 1], (2, 5): list[int]()}
    result = make_result(("fog", "contrast", "shift"), right, [0, 0, 1, 1])
    assert result.clean.accuracy == 1
    assert [score.correct for score in result.conditions] == [4, 4, 4, 3, 2, *[4] * 5, *[4] * 4, 0]
    assert result.conditions[4].confidence_interval == wilson_interval(2, 4)
    assert result.averaged == ("fog", "contrast")
    assert result.mean_accuracy == pytest.approx(37 / 40)
    assert result.mean_corruption_accuracy is None
    assert [score.accuracy for score in result.by_strength] == pytest.approx([1, 1, 1, 1, 7 / 8, 6 / 8])
    assert [score.mean_confidence for score in result.by_strength] == pytest.approx([0.9, *[0.7] * 5])
    # All predictions are in one bin, so that the error is the distance of the means.
    assert [score.ece for score in result.by_strength] == pytest.approx([0.1, 0.3, 0.3, 0.3, 0.175, 0.05])
    assert [score.gap for score in result.by_strength] == pytest.approx([-0.1, -0.3, -0.3, -0.3, -0.175, -0.05])
    dog, cat = result.per_class
    assert (dog.name, dog.n, dog.worst_corruption, cat.name, cat.drop) == ("dog", 2, "fog", "cat", 0)
    assert dog.accuracies == pytest.approx((1, 1, 1, 3 / 4, 2 / 4))
    assert dog.drop == pytest.approx(3 / 20)
    assert dog.worst_accuracy == pytest.approx(7 / 10)
    assert dog.drop_interval[0] < dog.drop < dog.drop_interval[1]


def test_extra_corruptions_alone_are_averaged_and_json_is_plain() -> None:
    result = make_result(("shift",), {(0, 5): []}, [0, 1])
    assert result.averaged == ("shift",)
    assert result.mean_accuracy == pytest.approx(0.8)
    record = json.loads(json.dumps(result.to_dict()))
    assert record["mean_corruption_accuracy"] is None
    assert [entry["accuracy"] for entry in record["conditions"]] == [1, 1, 1, 1, 0]
    assert [entry["class"] for entry in record["per_class"]] == ["cat", "dog"]
    full = make_result(tuple(name for name, entry in CORRUPTIONS.items() if entry.is_standard), {}, [0, 1])
    assert full.mean_corruption_accuracy == 1


class Bright(nn.Module):
    """Logits grow and fall with the brightness of the middle of the image, which most corruptions leave."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs: Tensor) -> Tensor:
        middle = self.scale * inputs[:, :, 2:-2, 2:-2].mean((1, 2, 3))
        return torch.stack([-middle, middle], 1)


def make_split(n: int, side_px: int = 12) -> ImageSplit:
    """Dark images of class 0 and bright ones of class 1, some of them wrong."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 3, side_px, side_px), dtype=torch.uint8, generator=generator)
    shifts = (60 * labels + torch.randint(0, 95, (n,), generator=generator)).to(torch.uint8)
    return ImageSplit(noise + shifts[:, None, None, None], labels, ("dark", "bright"), 10 * torch.arange(n))


def bright_model(**fields: Any) -> TrainedModel:
    return TrainedModel(Bright(), (0.5,) * 3, (0.25,) * 3, classes=("dark", "bright"), **fields)


def test_without_corruption_all_conditions_are_the_clean_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "corrupt_images", lambda images, *others, **options: images)
    result = stress(bright_model(), make_split(80))
    clean = result.clean
    assert 0 < clean.accuracy < 1
    assert len(result.conditions) == 95
    for score in result.conditions:
        assert (score.correct, score.mean_confidence, score.ece) == (clean.correct, clean.mean_confidence, clean.ece)
    assert result.mean_accuracy == pytest.approx(clean.accuracy)
    assert all(fall.drop == pytest.approx(0) for fall in result.per_class)
    assert all(fall.drop_interval[0] <= 0 <= fall.drop_interval[1] for fall in result.per_class)


def test_figures_are_those_of_the_corrupted_images() -> None:
    split, model = make_split(50), bright_model(temperature=2.0)
    result = stress(model, split, n=30, seed=7, corruptions=["brightness", "fog"], batch_size=7)
    chosen = random_order(7, 0, split.index, Stream.STRESSED_IMAGES)[:30].sort().values
    assert (result.n, result.n_split, result.seed, result.temperature) == (30, 50, 7, 2.0)
    sample = split.subset(chosen)
    for score in result.conditions:
        images = corrupt_images(sample.images, sample.index, score.corruption, score.strength, seed=7)
        predictions = model.predict(images)
        assert score.correct == int((predictions.logits.argmax(1) == sample.labels).sum())
        assert score.mean_confidence == pytest.approx(float(predictions.probabilities.amax(1).mean()), abs=1e-6)
    again = stress(model, split, n=30, seed=7, corruptions=["fog", "brightness"], batch_size=100)
    assert again == result
    assert stress(model, split, n=30, seed=8, corruptions=["brightness", "fog"]) != result
    # More light makes dark images bright ones.
    dark = result.per_class[0]
    assert dark.name == "dark"
    assert dark.drop_interval[0] < dark.drop < dark.drop_interval[1]


def test_a_network_alone_takes_mean_and_std_from_the_dataset_and_stays_as_it_was() -> None:
    split, network = make_split(40), Bright().train()
    dataset = Dataset("made", {"train": split, "test": split}, split.classes)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    of_dataset = stress(network, dataset, corruptions="fog", n=10)
    of_split = stress(network, split, corruptions="fog", n=10, mean=split.mean, std=split.std)
    assert of_dataset == of_split
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_run_keeps_the_result(finished_run: Run, small_shapes: Dataset) -> None:
    result = stress(finished_run, n=25, corruptions=["contrast", "rotation"], dataset=small_shapes)
    record = read_json(finished_run.stress)
    assert record["weights_sha256"] == load_record(finished_run).weights_sha256
    assert record["content_hash"] == small_shapes.test.content_hash
    plain = json.loads(json.dumps(result.to_dict()))
    assert {key: record[key] for key in plain} == plain
    assert (record["n"], record["n_split"]) == (25, 70)
    assert load_stress(finished_run) == result
    finished_run.stress.unlink()
    with pytest.raises(RunError, match=r"stress\.json: the run lacks it; make it anew with `visionlib stress"):
        load_stress(finished_run)
    # A split that is given is not the run's, and nothing is kept.
    other = stress(str(finished_run.path), small_shapes.train, n=25, corruptions="contrast")
    assert other.n_split == 200
    assert not finished_run.stress.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean_accuracy", 1.5, "mean_accuracy is 1.5, and must be from 0 to 1"),
        ("conditions", [], "conditions lack a strength"),
        ("by_strength", [], "by_strength lacks a strength"),
        ("clean", {"n": 3}, "clean.corruption is missing"),
        ("weights_sha256", "0", "was made with other weights"),
    ],
)
def test_a_damaged_record_is_refused(
    finished_run: Run, tmp_path: Path, field: str, value: object, message: str
) -> None:
    run = Run(Path(shutil.copytree(finished_run.path, tmp_path / "run")))
    make_result(("fog",), {}, [0, 1]).save(run)
    write_json(run.stress, {**read_json(run.stress), field: value})
    with pytest.raises(RunError, match=message):
        load_stress(run)


def test_pretrained_weights_need_data_of_their_classes() -> None:
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    labels = torch.arange(20) % 10
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    data = Dataset.from_arrays(images, labels, images, labels, classes=classes)
    result = stress("cifar10", dataset=data, corruptions="contrast", n=5)
    assert result.n == 5
    assert result.temperature == pytest.approx(0.772, abs=1e-3)
    with pytest.raises(RunError, match="cifar10: is weights alone, and names no data; name it with --dataset"):
        stress("cifar10", corruptions="contrast")
    with pytest.raises(ConfigError, match="images: have other classes than the network"):
        stress("cifar10", make_split(4), corruptions="contrast")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: 0 is out of range; it must be at least 1"),
        ({"batch_size": 0}, "batch_size: 0 is out of range; it must be at least 1"),
        ({"corruptions": ["fog", "hail"]}, "corruption hail: there is none of this name"),
        ({"mean": (0.5,)}, "mean, std, side_px: are known already"),
        ({"split": None}, "split: there is none to corrupt; give a dataset or one of its splits"),
    ],
)
def test_wrong_requests_are_refused(options: dict[str, Any], message: str) -> None:
    arguments = {"split": make_split(4), **options}
    with pytest.raises(ConfigError, match=message):
        stress(bright_model(), arguments.pop("split"), **arguments)


def test_a_split_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="images: there are none to corrupt"):
        stress(bright_model(), make_split(4).subset(torch.arange(0)))


def test_the_picture_shows_each_accuracy_with_its_interval() -> None:
    result = stress(bright_model(), make_split(40), corruptions=["noise", "fog", "shift"])
    figure = draw_stress(result)
    figure.draw_without_rendering()
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["noise", "weather", "extra", "mean of 4"]
    (line,) = panels["weather"].get_lines()
    fog = [score for score in result.conditions if score.corruption == "fog"]
    expected = [(0, result.clean.accuracy), *((score.strength, score.accuracy) for score in fog)]
    assert np.allclose(np.asarray(line.get_xydata()), expected)
    band = panels["weather"].collections[0].get_paths()[0].vertices
    bounds = fog[-1].confidence_interval
    assert bounds is not None
    assert np.allclose(sorted({y for x, y in np.asarray(band).tolist() if x == 5}), bounds)
    assert "40 images" in describe_stress(result)
    assert "mean accuracy under corruption" in describe_stress(result)


def test_a_notebook_shows_the_tables() -> None:
    html = stress(bright_model(), make_split(40), corruptions=["fog", "shift"])._repr_html_()
    assert html.count("<table") == 3
    assert "mean of the 1" in html
    assert "without the extra ones" in html


def test_a_fall_that_is_large_has_an_interval_above_0() -> None:
    dark, bright = stress(bright_model(), make_split(400), n=400, corruptions="brightness").per_class
    assert (dark.name, bright.name) == ("dark", "bright")
    assert dark.drop_interval[0] > 0 > bright.drop_interval[1]


def test_a_certain_network_has_a_confidence_of_one() -> None:
    """Sums of exponentials may round above 1, which no bin would hold."""
    network = Bright()
    network.scale.data.fill_(1e4)
    model = TrainedModel.from_network(network, (0.5,) * 3, (0.25,) * 3)
    result = stress(model, make_split(12), corruptions="contrast")
    assert result.clean.mean_confidence == 1
    assert math.isfinite(result.clean.ece)


def test_published_files_give_the_figures_of_their_images(tmp_path: Path) -> None:
    """Files of our own corruptions give what corrupting gives."""
    split, model = make_split(20), bright_model()
    for name in ("fog", "contrast"):
        parts = [corrupt_images(split.images, split.index, name, strength) for strength in range(1, 6)]
        np.save(tmp_path / f"{name}.npy", torch.cat(parts).permute(0, 2, 3, 1).numpy())
    np.save(tmp_path / "labels.npy", split.labels.repeat(5).numpy().astype(np.uint8))
    read = stress(model, split, n=13, published=tmp_path)
    made = stress(model, split, n=13, corruptions=["fog", "contrast"])
    assert read.source == f"files of {tmp_path.name}"
    assert replace(read, source=made.source) == made
    with pytest.raises(ConfigError, match=r"corruption snow: is not in .*; it has: fog, contrast"):
        stress(model, split, published=tmp_path, corruptions="snow")
    with pytest.raises(DataError, match="has the labels of other images than the test split"):
        stress(model, split.subset(torch.arange(19, -1, -1)), published=tmp_path)
