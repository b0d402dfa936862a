"""Initial weights that depend on the images, against their definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visionlib.data import Dataset
from visionlib.data.random import Stream, random_order
from visionlib.inference.device import choose_compute
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.models import build_model
from visionlib.training import TrainConfig, initialization
from visionlib.training.initialization import initialize_model, whiten_stem
from visionlib.training.job import TrainingJob


def test_a_whitened_stem_has_uncorrelated_channels_of_equal_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = F.avg_pool2d(torch.randn(64, 3, 40, 40, generator=generator), 5, 1)
    stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    drawn = stem.weight.detach().clone()
    whiten_stem(nn.Sequential(stem), smooth)
    outputs = F.conv2d(smooth, stem.weight)[:, :27].movedim(1, -1).flatten(0, 2)
    covariance = outputs.T @ outputs / len(outputs)
    stds = covariance.diagonal().sqrt()
    correlations = covariance / stds[:, None] / stds
    # The components whose variance is large beside the constant added to it.
    strong = correlations[:8, :8]
    assert (strong - torch.eye(8)).abs().max() < 0.12
    assert stds[:8].max() < 1.15 * stds[:8].min()
    torch.testing.assert_close(stem.weight[27:54], -stem.weight[:27])
    assert torch.equal(stem.weight[54:], drawn[54:])
    assert float(stem.weight[:54].detach().norm()) == pytest.approx(float(drawn[:54].norm()), rel=1e-5)


def test_a_frozen_stem_has_outputs_of_the_components_variance_over_itself_and_a_constant() -> None:
    """Images of one patch, so that the outputs are those of the patches that the components come from."""
    patches = torch.randn(500, 3, 2, 2) * torch.tensor([1.0, 0.5, 0.1])[:, None, None] + 0.2
    model = build_model("cnn8")
    biases = model.get_parameter("stem.bias").detach().clone()
    whiten_stem(model, patches)
    stem = model.get_submodule("stem")
    outputs = stem(patches).detach().flatten(1)
    rows = patches.flatten(1)
    values = torch.linalg.eigvalsh(rows.T @ rows / len(rows)).flip(0)
    moments = outputs[:, :12].T @ outputs[:, :12] / len(outputs)
    torch.testing.assert_close(moments, torch.diag(values / (values + 0.01)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs[:, 12:], -outputs[:, :12])
    assert not model.get_parameter("stem.weight").requires_grad
    assert torch.equal(model.get_parameter("stem.bias"), biases)


def make_small_job(dataset: Dataset, config: TrainConfig) -> TrainingJob:
    split = dataset.train
    return TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)


@pytest.mark.parametrize("whiten", [False, True])
def test_weights_are_changed_only_if_the_settings_say_so(whiten: bool, small_shapes: Dataset) -> None:
    fresh, model = build_model("resnet20"), build_model("resnet20")
    initialize_model(model, make_small_job(small_shapes, TrainConfig(whiten=whiten)))
    same = [torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True)]
    assert same == [not whiten] + [True] * (len(same) - 1)


def test_a_network_without_a_matching_stem_is_not_changed() -> None:
    for model in (nn.Linear(3, 2), nn.Conv2d(4, 8, 3)):
        before = model.weight.detach().clone()
        whiten_stem(model, torch.randn(2, 3, 8, 8))
        assert torch.equal(model.weight, before)


def test_whitening_images_have_a_random_stream_of_their_own(
    small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, seen = small_shapes.train, []
    monkeypatch.setattr(initialization, "_IMAGES", 20)
    monkeypatch.setattr(initialization, "whiten_stem", lambda model, inputs: seen.append(inputs))
    initialize_model(build_model("resnet20"), make_small_job(small_shapes, TrainConfig(whiten=True)))
    cropped = random_order(TrainConfig().seed, 0, split.index, Stream.CROP_COLUMNS)[:20]
    assert len(seen[0]) == 20
    assert not torch.equal(seen[0], prepare_inputs(split.images[cropped], split.mean, split.std))
