"""The range test against a training written out; network, data and generators keep their state."""

import dataclasses
import json
import math
import random
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visionlib import find_learning_rate
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, ModelError
from visionlib.inference.device import choose_compute
from visionlib.inference.preprocessing import normalize_images
from visionlib.models import build_model
from visionlib.training import TrainConfig
from visionlib.training.batches import epoch_batches
from visionlib.training.initialization import initialize_model
from visionlib.training.job import TrainingJob
from visionlib.training.preserved_state import seeded_generators


class WithDropout(nn.Module):
    """Draws from torch's generator, and has a buffer outside its state_dict."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(3, 10)
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return self.linear(self.dropout(self.norm(inputs)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture
def config(small_config: TrainConfig) -> TrainConfig:
    return small_config.replace(batch_size=16)


@pytest.fixture
def plain_config(config: TrainConfig) -> TrainConfig:
    """Without augmentation, so that a few lines can do the same."""
    return config.replace(flip="none", crop_px=0)


def test_every_step_is_that_of_plain_sgd(small_shapes: Dataset, plain_config: TrainConfig) -> None:
    finding = find_learning_rate(small_shapes, plain_config, lowest=0.001, highest=0.05, steps=20)
    split = small_shapes.train
    model = build_model("resnet20", classes=10, channels=3, seed=0).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-4, nesterov=True)
    batches = [b[:, 0] for epoch in range(5) for b in epoch_batches(split, 16, seed=0, epoch=epoch)]
    expected = []
    for step, batch in enumerate(batches[:20]):
        optimizer.param_groups[0]["lr"] = 0.001 * 50 ** (step / 19)
        inputs = normalize_images(split.images[batch], split.mean, split.std)
        loss = F.cross_entropy(model(inputs), split.labels[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        expected.append(loss.item())
    assert finding.losses[:12] == pytest.approx(expected[:12], rel=1e-3)  # rounding grows from step to step
    assert not finding.has_diverged


def test_a_test_that_is_longer_than_the_training_mixes_to_its_end(small_shapes: Dataset, config: TrainConfig) -> None:
    """Its 20 steps last for two epochs; the settings would stop mixing after a tenth of one."""
    config = config.replace(epochs=1, mix="both", peak_learning_rate=0.1)
    early = find_learning_rate(small_shapes, config.replace(mix_end=0.1), highest=0.05, steps=20)
    late = find_learning_rate(small_shapes, config, highest=0.05, steps=20)
    unmixed = find_learning_rate(small_shapes, config.replace(mix_end=0.0), highest=0.05, steps=20)
    assert early.losses == late.losses
    assert late.losses != unmixed.losses


def test_the_network_is_initialized_as_in_training(small_shapes: Dataset, config: TrainConfig) -> None:
    config, split = config.replace(whiten=True), small_shapes.train
    model = build_model("resnet20", classes=10, channels=3, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain = find_learning_rate(small_shapes, config, model=model, steps=20)
    initialize_model(model, TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std))
    initialized = find_learning_rate(small_shapes, config, model=model, steps=20)
    assert find_learning_rate(small_shapes, config, steps=20).losses == initialized.losses != plain.losses


@pytest.mark.parametrize("growth", ["exponential", "linear"])
def test_rates_grow_evenly_from_the_lowest_to_the_highest(
    growth: str, small_shapes: Dataset, config: TrainConfig
) -> None:
    finding = find_learning_rate(small_shapes, config, lowest=1e-4, highest=1e-2, steps=20, growth=growth)  # type: ignore[arg-type]
    assert len(finding.rates) == 20
    assert [finding.rates[0], finding.rates[-1]] == pytest.approx([1e-4, 1e-2])
    scale = math.log if growth == "exponential" else float
    gaps = [scale(b) - scale(a) for a, b in pairwise(finding.rates)]
    assert gaps == pytest.approx([gaps[0]] * 19)


def test_it_ends_when_the_loss_diverges(small_shapes: Dataset, config: TrainConfig) -> None:
    finding = find_learning_rate(small_shapes, config, lowest=1e-3, highest=1e6, steps=40)
    assert finding.has_diverged
    assert len(finding.rates) == len(finding.losses) == len(finding.smoothed) < 40
    assert all(math.isfinite(loss) for loss in finding.losses)
    assert finding.suggestion is not None
    assert finding.rates[0] <= finding.suggestion <= finding.rates[-1]


def test_network_and_generators_keep_their_state(small_shapes: Dataset, config: TrainConfig) -> None:
    model = WithDropout()
    model.norm.running_mean.fill_(0.25)  # type: ignore[union-attr]
    model.norm.eval()
    model.linear.bias.requires_grad_(False)
    model.linear.weight.grad = torch.ones(10, 3)
    before = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    state = torch.get_rng_state()
    first = find_learning_rate(small_shapes, config, model=model, steps=20, highest=1e3)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in (model, model.norm, model.dropout)] == [True, False, True]
    assert torch.equal(model.linear.weight.grad, torch.ones(10, 3))
    assert model.norm.weight.grad is None
    assert [p.requires_grad for p in model.parameters()] == [True, True, True, False]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)  # the state before does not matter either
    assert find_learning_rate(small_shapes, config, model=model, steps=20, highest=1e3) == first


def test_all_generators_are_restored() -> None:
    """Tested alone, since the runtime checks of annotations draw from Python's generator around every call."""
    compute = choose_compute("cpu")
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    draws = []
    for _ in range(2):
        with seeded_generators(compute, 3):
            draws.append(torch.rand(1).item())
            random.random()
            np.random.rand()  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        assert str(np.random.get_state()) == str(states[2])  # noqa: NPY002
    assert draws[0] == draws[1]


def test_state_is_restored_after_an_error(small_shapes: Dataset, config: TrainConfig) -> None:
    class Failing(WithDropout):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if self.calls > 2:
                raise KeyboardInterrupt
            return super().forward(inputs)

    model, state, threads = Failing(), torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        find_learning_rate(small_shapes, config.replace(threads=1), model=model, steps=20)
    assert model.calls == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_only_the_training_split_is_read(small_shapes: Dataset, config: TrainConfig) -> None:
    alone = dataclasses.replace(small_shapes, splits={"train": small_shapes.train})
    assert find_learning_rate(alone, config, steps=20) == find_learning_rate(small_shapes, config, steps=20)


def test_the_record_is_plain_json(small_shapes: Dataset, config: TrainConfig) -> None:
    finding = find_learning_rate(small_shapes, config, steps=20)
    record = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
    assert record["suggestion"] == record["settings"]["peak_learning_rate"] == finding.suggestion
    assert len(record["rates"]) == len(record["losses"]) == len(record["smoothed"])
    assert record["next_test"] == {}


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("muon", marks=pytest.mark.slow)])
def test_without_a_suggestion_the_next_test_has_one(
    optimizer: Literal["sgd", "muon"], small_shapes: Dataset, config: TrainConfig
) -> None:
    config = config.replace(optimizer=optimizer)
    finding = find_learning_rate(small_shapes, config, steps=20, growth="linear")
    assert (finding.suggestion, finding.settings) == (None, {})
    assert finding.rule.endswith("take at least 100 steps of exponential growth")
    record = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
    assert (record["suggestion"], record["settings"], record["next_test"]) == (None, {}, {"steps": 100})
    following = find_learning_rate(small_shapes, config, **finding.next_test)  # type: ignore[arg-type]
    assert following.suggestion == following.settings["peak_learning_rate"]
    assert following.next_test == {}


@pytest.mark.parametrize("growth", ["exponential", "linear"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_steps_suggest_no_rate_at_which_the_loss_has_risen(
    seed: int, growth: Literal["exponential", "linear"], config: TrainConfig
) -> None:
    """40 noisy images of two tints: tests of 20 steps, the fewest, that end early."""
    generator, labels = torch.Generator().manual_seed(0), torch.arange(40) % 2
    images = torch.randint(0, 80, (40, 3, 16, 16), generator=generator)
    images[torch.arange(40), labels] += 100
    split = ImageSplit(images.to(torch.uint8), labels, ("a", "b"), torch.arange(40))
    finding = find_learning_rate(
        Dataset("tints", {"train": split}, ("a", "b")), config.replace(seed=seed), growth=growth, steps=20
    )
    assert finding.has_diverged
    if growth == "linear":
        assert finding.suggestion is None
    else:
        assert finding.suggestion is not None
        step = int(np.abs(np.array(finding.rates) - finding.suggestion).argmin())
        assert finding.losses[step] <= min(finding.losses) + 0.1 * finding.losses[0]
        assert max(finding.losses[: step + 1]) <= 2 * max(finding.losses[:2])


def test_a_loss_that_turns_to_nan_is_a_divergence(small_shapes: Dataset, config: TrainConfig) -> None:
    class Breaking(WithDropout):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs) / (self.calls < 31)

    finding = find_learning_rate(small_shapes, config, model=Breaking(), highest=0.1, steps=60)
    assert finding.has_diverged
    assert len(finding.losses) == len(finding.rates) == len(finding.smoothed) == 30
    assert all(map(math.isfinite, finding.losses))
    assert finding.suggestion is None or finding.suggestion < finding.rates[-1]


def test_the_ratio_to_muons_rate_is_kept(small_shapes: Dataset, config: TrainConfig) -> None:
    config = config.replace(optimizer="muon", muon_learning_rate=0.1, peak_learning_rate=0.2)
    finding = find_learning_rate(small_shapes, config, steps=20)
    assert finding.suggestion is not None
    assert finding.settings["peak_learning_rate"] == finding.suggestion
    assert finding.settings["muon_learning_rate"] == pytest.approx(min(1, finding.suggestion / 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lowest": 0.0}, "lowest, highest: 0 and 10 are no range; set 0 < lowest < highest"),
        ({"lowest": 1.0, "highest": 0.5}, "1 and 0.5 are no range"),
        ({"lowest": float("nan")}, "nan and 10 are no range"),
        ({"highest": float("inf")}, "0.001 and inf are no range"),
        ({"steps": 19}, "steps: 19 are too few to see a curve; set at least 20"),
    ],
)
def test_invalid_ranges_are_errors(
    arguments: dict[str, float], message: str, small_shapes: Dataset, config: TrainConfig
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_learning_rate(small_shapes, config, **arguments)  # type: ignore[arg-type]


def test_networks_that_cannot_be_tested(small_shapes: Dataset, config: TrainConfig) -> None:
    broken = WithDropout()
    with torch.no_grad():
        broken.linear.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="WithDropout: has a loss that is no number from the start"):
        find_learning_rate(small_shapes, config, model=broken, steps=20)
    uncopied = WithDropout()
    uncopied.extra = uncopied.linear.weight * 1
    with pytest.raises(ModelError, match="WithDropout: cannot be copied"):
        find_learning_rate(small_shapes, config, model=uncopied, steps=20)
