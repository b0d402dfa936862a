"""The exponential moving average of the weights equals its formula, step by step, and survives a checkpoint."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from visionlib.runs import Run
from visionlib.training import TrainConfig
from visionlib.training.averaging import WeightAverage
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint

EMA = TrainConfig(averaging="ema", averaging_decay=0.9)


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def drift(model: nn.Module, step: int) -> None:
    """Change every weight and statistic, as a training step does."""
    with torch.no_grad():
        for number, value in enumerate(model.state_dict().values()):
            value.add_(step + number + 1)


def test_the_average_equals_its_formula_and_the_model_trains_with_its_own_weights() -> None:
    model = small_model()
    average = WeightAverage(model, EMA)
    expected = {name: value.double() for name, value in state_of(model).items()}
    for step in range(100):
        drift(model, step)
        average.update(step)
        decay = min(0.9, 1 - 10 / (10 + step))
        for name, value in state_of(model).items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    own = state_of(model)
    with average.applied():
        inside = state_of(model)
    assert all(torch.equal(state_of(model)[name], own[name]) for name in own)
    average.apply()
    for name, value in state_of(model).items():
        if "num_batches" in name:
            assert value == own[name]
            continue
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-3)
        assert torch.equal(value, inside[name])


def test_the_bits_are_those_of_lerp() -> None:
    """Runs of earlier versions, which had no `AveragedModel`, are resumed with the same bits."""
    model = small_model()
    average = WeightAverage(model, EMA)
    expected = [value.clone() for value in model.state_dict().values() if value.is_floating_point()]
    for step in range(30):
        drift(model, step)
        average.update(step)
        weights = [value for value in model.state_dict().values() if value.is_floating_point()]
        torch._foreach_lerp_(expected, weights, 1 - min(0.9, 1 - 10 / (10 + step)))
    assert all(torch.equal(a, b) for a, b in zip(average.state(), expected, strict=True))


def test_the_model_has_its_own_weights_again_after_an_error() -> None:
    model = small_model()
    average = WeightAverage(model, EMA)
    drift(model, 0)
    own = state_of(model)

    def fail_with_the_average() -> None:
        with average.applied():
            assert any(not torch.equal(value, own[name]) for name, value in state_of(model).items())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_with_the_average()
    assert all(torch.equal(value, own[name]) for name, value in state_of(model).items())


def test_without_averaging_nothing_is_stored_or_changed() -> None:
    model = small_model()
    average = WeightAverage(model, TrainConfig())
    drift(model, 0)
    before = state_of(model)
    average.update(0)
    with average.applied():
        pass
    average.apply()
    assert average.state() == []
    assert all(torch.equal(value, before[name]) for name, value in state_of(model).items())


def test_the_average_of_another_model_is_refused() -> None:
    average = WeightAverage(small_model(), EMA)
    with pytest.raises(ValueError, match="of another model"):
        average.load([])


@pytest.mark.parametrize("at_step", [0, 7, 15])
def test_an_average_from_a_checkpoint_goes_on_bit_for_bit(at_step: int, tmp_path: Path) -> None:
    run = Run(tmp_path)

    def begin() -> tuple[nn.Module, torch.optim.Optimizer, WeightAverage]:
        torch.manual_seed(0)
        model = small_model()
        return model, torch.optim.SGD(model.parameters()), WeightAverage(model, EMA)

    model, optimizer, average = begin()
    for step in range(20):
        if step == at_step:
            progress = Progress(torch.zeros(()), torch.zeros((), dtype=torch.int64))
            Checkpointer(run, 60).save(model, optimizer, average, progress)
        drift(model, step)
        average.update(step)

    resumed_model, resumed_optimizer, resumed = begin()
    drift(resumed_model, 99)  # the checkpoint replaces all of it
    resumed.update(99)
    load_checkpoint(run, resumed_model, resumed_optimizer, resumed, "cpu")
    for step in range(at_step, 20):
        drift(resumed_model, step)
        resumed.update(step)
    for a, b in zip(resumed.state(), average.state(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_holds_the_average_as_a_list_of_tensors(tmp_path: Path) -> None:
    """The format of `resume.pt`: floating-point weights and statistics, in the order of the state_dict."""
    model = small_model()
    average = WeightAverage(model, EMA)
    drift(model, 0)
    average.update(3)
    progress = Progress(torch.zeros(()), torch.zeros((), dtype=torch.int64))
    Checkpointer(Run(tmp_path), 60).save(model, torch.optim.SGD(model.parameters()), average, progress)
    stored = torch.load(Run(tmp_path).resume, weights_only=True)
    shapes = [value.shape for value in model.state_dict().values() if value.is_floating_point()]
    assert isinstance(stored["average"], list)
    assert [tensor.shape for tensor in stored["average"]] == shapes
    assert stored["statistics"].keys() == dict(model.named_buffers()).keys()
