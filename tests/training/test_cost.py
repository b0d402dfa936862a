"""Operations of a training, counted by hand and by torch."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from visionlib.data import Dataset
from visionlib.inference.device import choose_compute
from visionlib.models import build_model
from visionlib.training import RECIPES, TrainConfig
from visionlib.training.cost import count_training_flop, measure_flop_rate


@pytest.mark.parametrize("model", ["resnet20", "cnn8"])
def test_forward_operations_are_those_that_torch_counts(model: str) -> None:
    network = build_model(model, classes=7).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 16, 16))
    config = TrainConfig(model=model, epochs=2)
    assert count_training_flop(config, 11, (3, 16, 16), 7) == 2 * 11 * 3 * counter.get_total_flops()


def test_resolutions_and_sam_by_hand() -> None:
    whole, half = (
        count_training_flop(TrainConfig(model="cnn8", epochs=1), 1, (3, side, side), 10) for side in (32, 16)
    )
    mixed = TrainConfig(model="cnn8", epochs=4, resolutions=(0.5, 0.5, 1.0, 1.0), sam_radius=0.1, sam_start=0.75)
    # Half of the steps at half the side, a quarter whole, and a quarter with SAM's gradients of a quarter of a batch.
    assert count_training_flop(mixed, 10, (3, 32, 32), 10) == pytest.approx(40 * (half / 2 + whole * (1 + 1.25) / 4))


def test_known_recipes() -> None:
    """0.5554 GMAC an image, from the network's table, in five epochs at 16 and 24 px."""
    assert count_training_flop(RECIPES["quick"], 50_000, (3, 32, 32), 10) == pytest.approx(0.3124e15, rel=1e-3)


def test_a_machine_is_measured_in_operations_per_second(small_shapes: Dataset) -> None:
    rate = measure_flop_rate(small_shapes.train, choose_compute("cpu", "fp32", 1))
    assert 1e8 < rate < 1e13
