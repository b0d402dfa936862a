"""Weights to begin with, against their definitions."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visionlib.data import Dataset
from visionlib.data.random import Stream, random_order
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.models import build_model
from visionlib.training import TrainConfig, initialization
from visionlib.training.initialization import initialize_model, whiten_stem, zero_init_blocks


def test_a_whitened_stem_puts_out_uncorrelated_channels_of_one_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = F.avg_pool2d(torch.randn(64, 3, 40, 40, generator=generator), 5, 1)
    stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    drawn = stem.weight.detach().clone()
    whiten_stem(nn.Sequential(stem), smooth)
    outputs = F.conv2d(smooth, stem.weight)[:, :27].movedim(1, -1).flatten(0, 2)
    covariance = outputs.T @ outputs / len(outputs)
    deviations = covariance.diagonal().sqrt()
    correlations = covariance / deviations[:, None] / deviations
    # The components that carry more than the least variance that is allowed for.
    strong = correlations[:8, :8]
    assert (strong - torch.eye(8)).abs().max() < 0.12
    assert deviations[:8].max() < 1.15 * deviations[:8].min()
    torch.testing.assert_close(stem.weight[27:54], -stem.weight[:27])
    assert torch.equal(stem.weight[54:], drawn[54:])
    assert float(stem.weight[:54].detach().norm()) == pytest.approx(float(drawn[:54].norm()), rel=1e-5)


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "resnet20"])
def test_silent_blocks_are_their_shortcuts(model: str) -> None:
    network = build_model(model).eval()
    zero_init_blocks(network)
    inputs = torch.randn(2, 3, 16, 16)
    features = network.relu1(network.bn1(network.conv1(inputs)))  # type: ignore[operator]
    for block in network.layer1:  # type: ignore[union-attr]
        torch.testing.assert_close(block(features), block.shortcut(features).relu())
        features = block(features)


def test_by_default_nothing_is_changed_and_what_is_asked_for_is(small_shapes: Dataset) -> None:
    split = small_shapes.train
    fresh = build_model("resnet20")
    asked: list[tuple[dict[str, Any], bool]] = [({}, False), ({"whiten": True}, True), ({"zero_init": True}, True)]
    for changes, is_changed in asked:
        model = build_model("resnet20")
        initialize_model(model, split, TrainConfig(**changes), split.mean, split.std)
        same = [torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)]
        assert all(same) is not is_changed


def test_a_network_without_a_fitting_stem_is_left_alone() -> None:
    for model in (nn.Linear(3, 2), nn.Conv2d(4, 8, 3)):
        before = model.weight.detach().clone()
        whiten_stem(model, torch.randn(2, 3, 8, 8))
        assert torch.equal(model.weight, before)


def test_the_whitening_images_do_not_depend_on_the_numbers_that_crop_them(
    small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, seen = small_shapes.train, []
    monkeypatch.setattr(initialization, "_IMAGES", 20)
    monkeypatch.setattr(initialization, "whiten_stem", lambda model, inputs: seen.append(inputs))
    initialize_model(build_model("resnet20"), split, TrainConfig(whiten=True), split.mean, split.std)
    cropped = random_order(TrainConfig().seed, 0, split.index, Stream.CROP_COLUMNS)[:20]
    assert len(seen[0]) == 20
    assert not torch.equal(seen[0], prepare_inputs(split.images[cropped], split.mean, split.std))
