"""Averages of weights against their formulas, step by step."""

import pytest
import torch
from torch import nn

from visionlib.training import TrainConfig
from visionlib.training.averaging import LOOKAHEAD_EVERY_STEPS, WeightAverage


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def states(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.double().clone() for name, value in model.state_dict().items()}


def drift(model: nn.Module, step: int) -> None:
    """Move every weight and statistic, as a step of training does."""
    with torch.no_grad():
        for place, value in enumerate(model.state_dict().values()):
            value.add_(step + place + 1)


def test_ema_is_its_formula_and_the_model_learns_on_from_its_own_weights() -> None:
    model = small_model()
    average = WeightAverage(model, TrainConfig(averaging="ema", averaging_decay=0.9), 100)
    expected = states(model)
    for step in range(100):
        drift(model, step)
        average.update(step)
        decay = min(0.9, 1 - 10 / (10 + step))
        for name, value in states(model).items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    own = states(model)
    with average.used():
        inside = states(model)
    assert all(torch.equal(states(model)[name], own[name]) for name in own)
    average.finish()
    for name, value in states(model).items():
        if "num_batches" in name:
            assert value == own[name]
            continue
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-3)
        assert torch.equal(value, inside[name])


def test_lookahead_is_its_formula_and_the_model_learns_on_from_the_average() -> None:
    model, total = small_model(), 20
    average = WeightAverage(model, TrainConfig(averaging="lookahead", averaging_decay=0.95), total)
    expected, own = states(model), states(model)
    for step in range(total):
        drift(model, step)
        average.update(step)
        for place, name in enumerate(own):
            own[name] = own[name] + step + place + 1
        if (step + 1) % LOOKAHEAD_EVERY_STEPS == 0:
            decay = 0.95**LOOKAHEAD_EVERY_STEPS * ((step + 1) / total) ** 3
            for name in own:
                if "num_batches" not in name:
                    expected[name] = decay * expected[name] + (1 - decay) * own[name]
                    own[name] = expected[name]
        for name, value in states(model).items():
            torch.testing.assert_close(value, own[name], rtol=1e-5, atol=1e-4)
    average.finish()
    for name, value in states(model).items():
        torch.testing.assert_close(value, own[name], rtol=1e-5, atol=1e-4)


def test_none_costs_nothing_and_changes_nothing() -> None:
    model = small_model()
    average = WeightAverage(model, TrainConfig(), 10)
    drift(model, 0)
    before = states(model)
    average.update(0)
    with average.used():
        pass
    average.finish()
    assert average.state() == average.statistics() == []
    assert all(torch.equal(value, before[name]) for name, value in states(model).items())


def test_it_goes_on_from_what_a_checkpoint_holds_and_refuses_another_models() -> None:
    config = TrainConfig(averaging="ema")
    model = small_model()
    average = WeightAverage(model, config, 10)
    drift(model, 3)
    average.update(50)
    other = WeightAverage(small_model(), config, 10)
    other.load(average.state(), average.statistics())
    assert all(torch.equal(a, b) for a, b in zip(other.state(), average.state(), strict=True))
    assert len(average.statistics()) == 2
    with pytest.raises(ValueError, match="of another model"):
        other.load([], [])
