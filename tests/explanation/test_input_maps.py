"""Maps of the input, where they can be solved: of a linear network each pixel's share is its weight times itself."""

import pytest
import torch

from tests.explanation.networks import Blind, Linear, Tiny
from visionlib.eval_mode import eval_mode
from visionlib.explanation import make_map_maker
from visionlib.explanation.gradients import score_classes
from visionlib.explanation.input_maps import cells_of, integrate_gradients


def test_of_a_linear_network() -> None:
    model = Linear((3, 8, 8), classes=4)
    inputs, classes = torch.randn(6, 3, 8, 8), torch.arange(6) % 4
    weights = model.weights.detach()[classes]
    shares = weights * inputs
    for method, expected in {
        "gradient": weights.abs().sum(1),
        "gradient-x-input": shares.sum(1).relu(),
        "integrated-gradients": shares.sum(1).relu(),
        # A cell is a pixel here, and covering it takes its share away.
        "occlusion": shares.sum(1).relu(),
    }.items():
        found = make_map_maker(method, model, (3, 8, 8))(model, inputs, classes)
        assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-4), method


def test_integrated_gradients_sum_up_to_the_difference_of_the_logits() -> None:
    model = Tiny().eval()
    inputs, classes = torch.randn(4, 3, 16, 16), torch.tensor([0, 2, 1, 1])
    with eval_mode(model, has_gradients=True) as inside:
        shares = integrate_gradients(inside, inputs, classes, steps=200).sum((1, 2, 3))
        difference = score_classes(inside, inputs, classes) - score_classes(inside, torch.zeros_like(inputs), classes)
    assert shares.numpy() == pytest.approx(difference.detach().numpy(), abs=2e-3)


def test_occlusion_covers_cells_of_about_equal_size() -> None:
    assert cells_of(32, 8).tolist() == [cell for cell in range(8) for _ in range(4)]
    counts = torch.bincount(cells_of(28, 8)).tolist()
    assert len(counts) == 8
    assert set(counts) == {3, 4}


def test_occlusion_of_a_small_image_has_a_cell_per_pixel() -> None:
    model = Linear((1, 5, 6))
    assert make_map_maker("occlusion", model, (1, 5, 6))(
        model, torch.randn(2, 1, 5, 6), torch.tensor([0, 1])
    ).shape == (2, 5, 6)


@pytest.mark.parametrize("method", ["gradient", "gradient-x-input", "integrated-gradients", "occlusion", "layercam"])
def test_a_network_that_looks_at_nothing_gives_maps_of_zeros(method: str) -> None:
    model = Blind()
    found = make_map_maker(method, model, (1, 8, 8))(model, torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 0]))
    assert bool((found == 0).all())
