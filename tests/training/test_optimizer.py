"""The parameter groups of the optimizers, and their rates."""

from typing import Any

import pytest
from torch import nn

from visionlib.training import TrainConfig
from visionlib.training.optimizer import make_optimizer, set_rates


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_normalization_biases_can_have_a_rate_of_their_own(name: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    config = TrainConfig(optimizer=name, norm_bias_factor=16.0, weight_decay=8e-4, peak_learning_rate=0.2)
    optimizer = make_optimizer(model, config)
    set_rates(optimizer, config, 0.1)
    (own,) = [group for group in optimizer.param_groups if any(p is model[1].bias for p in group["params"])]
    assert (len(own["params"]), own["lr"], own["weight_decay"]) == (1, pytest.approx(1.6), pytest.approx(5e-5))
    (rest,) = [group for group in optimizer.param_groups if any(p is model[1].weight for p in group["params"])]
    assert (rest["lr"], rest["weight_decay"]) == (0.1, 8e-4)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, model.parameters()))


def test_rates_are_in_the_ratio_of_their_peaks() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    config = TrainConfig(optimizer="muon", peak_learning_rate=0.4, muon_learning_rate=0.24)
    optimizer = make_optimizer(model, config)
    set_rates(optimizer, config, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.06, 0.1])
    sgd = make_optimizer(model, config.replace(optimizer="sgd"))
    set_rates(sgd, config, 0.1)
    assert [group["lr"] for group in sgd.param_groups] == [0.1]
