"""A network that looks at a corner loses its class without it; one that does not loses nothing."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from visionlib import measure_reliance
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.evaluation.comparison.paired import PairedCounts
from visionlib.explanation.reliance import Reliance, load_reliance
from visionlib.explanation.reliance.result import Change
from visionlib.explanation.reliance.wording import describe_reliance, describe_reliances
from visionlib.runs import Run, read_json, write_json
from visionlib.runs.fields import FieldError, parse_record


class CornerReader(nn.Module):
    """Says class 1 where the upper left pixel of the input is bright, and class 0 elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.zero_()  # type: ignore[union-attr]

    def forward(self, inputs: Tensor) -> Tensor:
        corner = self.conv(inputs).relu()[:, 0, 0, 0]
        return torch.stack([torch.full_like(corner, 0.5), corner], 1)


def make_split(n: int = 200, seed: int = 0) -> ImageSplit:
    """Draw dark noise; the upper left quarter of a side is white in class 1."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (n, 1, 16, 16), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n) % 2
    images[labels == 1, :, :4, :4] = 255
    return ImageSplit(images, labels, ("plain", "marked"), torch.arange(n))


def measure(split: ImageSplit | Dataset, **options: object) -> Reliance:
    return measure_reliance(CornerReader(), split, mean=(0.0,), std=(1.0,), **options)  # type: ignore[arg-type]


def test_a_network_that_reads_the_corner() -> None:
    result = measure(make_split(), n_maps=20)
    by_name = {entry.name: entry for entry in result.properties}
    corner = by_name["top left corner"]
    assert corner.is_given_away
    assert corner.is_relied_on
    # The corner of the mean is half white: every image is above 0.5 or every image below.
    assert corner.all_images.counts == PairedCounts(100, 100, 0, 0)
    assert corner.all_images.p == pytest.approx(2**-99)
    away = {change.name: change.counts for change in corner.classes}
    assert set(away) == {"plain", "marked"}
    assert sorted(counts.only_first for counts in away.values()) == [0, 100]
    assert corner.area_fraction == pytest.approx(9 / 256)
    assert corner.map_fraction is not None
    assert corner.map_fraction.n == 20
    untouched = by_name["bottom right corner"]
    assert not untouched.is_given_away
    assert untouched.all_images.counts == PairedCounts(200, 0, 0, 0)
    assert untouched.class_map_fraction is None
    assert "saturation" not in by_name  # the images are grayscale
    assert result.properties[0].is_given_away
    assert "relies on what gives a class away: top left corner" in describe_reliance(result).replace(", top edge", "")
    assert any("100.0 % correct" in line for line in describe_reliances(result))


def test_a_network_that_does_not_read_it_loses_nothing() -> None:
    class Constant(CornerReader):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(torch.zeros_like(inputs))

    result = measure_reliance(Constant(), make_split(), mean=(0.0,), std=(1.0,), n_maps=0)
    corner = next(entry for entry in result.properties if entry.name == "top left corner")
    assert corner.is_given_away
    assert not any(entry.is_relied_on for entry in result.properties)
    assert all(entry.all_images.difference == 0 and entry.all_images.p == 1 for entry in result.properties)
    assert (result.n_maps, result.method, corner.map_fraction) == (0, "", None)
    assert describe_reliance(result).startswith("No accuracy falls without what gives a class away")


def test_clean_training_images_give_nothing_away() -> None:
    clean = dataclasses.replace(make_split(), images=make_split().images.roll(5, 0).clone())
    clean.images[:, :, :4, :4] = clean.images[:, :, 5:9, 5:9]
    result = measure(Dataset("d", {"train": clean, "test": make_split(40, 1)}, clean.classes), n_maps=0)
    assert not any(entry.is_given_away for entry in result.properties)
    assert describe_reliance(result).startswith("No property of the pixels gives a class away; 40 test images")
    worst = next(entry for entry in result.properties if entry.name == "top left corner").classes
    assert len(worst) == 1
    assert worst[0].is_fall


def test_it_is_a_record() -> None:
    record = measure(make_split(), n=30, n_maps=10, seed=3).to_dict()
    assert (record["n"], record["n_split"], record["seed"]) == (30, 200, 3)
    read = parse_record(Reliance, json.loads(json.dumps(record, allow_nan=False)))
    assert read.to_dict() == record
    record["properties"][0]["all_images"]["counts"]["both"] = -1
    with pytest.raises(FieldError, match=r"properties\[0\].all_images counts must be of some images"):
        parse_record(Reliance, record)


def test_a_run_keeps_it(finished_run: Run, small_shapes: Dataset) -> None:
    result = measure_reliance(finished_run, dataset=small_shapes, n=20, n_maps=4)
    assert result.method == "layercam-fused"
    assert load_reliance(finished_run).to_dict() == result.to_dict()
    write_json(finished_run.shortcuts, {**read_json(finished_run.shortcuts), "weights_sha256": "another"})
    with pytest.raises(RunError, match=r"shortcuts.json: was made with other weights; make it anew with `visionlib"):
        load_reliance(finished_run)
    finished_run.shortcuts.unlink()


def test_a_change_by_hand() -> None:
    change = Change("a", PairedCounts(5, 4, 1, 0), 0.375, 0.375)
    assert (change.accuracy, change.equal_accuracy) == (0.9, 0.6)
    assert change.difference == pytest.approx(-0.3)
    assert not change.is_fall
    assert dataclasses.replace(change, p_adjusted=0.04).is_fall
    assert not dataclasses.replace(change, counts=PairedCounts(5, 1, 4, 0), p_adjusted=0.04).is_fall


def test_what_cannot_be_done_is_told_in_a_line(tmp_path: Path) -> None:
    split = make_split()
    with pytest.raises(ConfigError, match="n: 0 is out of range; it must be at least 1"):
        measure(split, n=0)
    with pytest.raises(ConfigError, match="split: there is none to score the network on"):
        measure_reliance(CornerReader(), mean=(0.0,), std=(1.0,))
    with pytest.raises(ConfigError, match="mean, std, side_px: are known already"):
        measure_reliance(tmp_path, mean=(0.0,))
    with pytest.raises(DataError, match="images: there are none to predict"):
        measure(split.subset(torch.arange(0)))
    with pytest.raises(RunError, match="there is no such run folder"):
        measure_reliance(tmp_path / "absent")
