"""Maps of the input, where they can be solved: of a linear network each pixel's share is its weight times itself."""

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Blind, Linear, Tiny
from tests.oracles import path_integral
from visionlib.eval_mode import eval_mode
from visionlib.explanation import make_map_maker
from visionlib.explanation.gradients import score_classes
from visionlib.explanation.input_maps import INTEGRATION_STEPS, LARGEST_GAP, cells_of, integrate_gradients


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
        found = integrate_gradients(inside, inputs, classes)
        difference = score_classes(inside, inputs, classes) - score_classes(inside, torch.zeros_like(inputs), classes)
    shares = found.values.sum((1, 2, 3))
    assert bool((found.gaps <= LARGEST_GAP).all())
    assert shares.numpy() == pytest.approx(difference.detach().numpy(), rel=LARGEST_GAP)
    relative = (shares - difference).abs() / difference.abs()
    assert found.gaps.tolist() == pytest.approx(relative.tolist(), rel=1e-2, abs=1e-5)


def test_integrated_gradients_against_a_loop_along_the_line() -> None:
    model = Tiny(is_inplace=False).eval()
    inputs, classes = torch.randn(6, 3, 16, 16), torch.arange(6) % 3
    with eval_mode(model, has_gradients=True) as inside:
        found = integrate_gradients(inside, inputs, classes)
    assert len(set(found.steps.tolist())) > 1  # images need different numbers of steps
    for at in range(6):
        expected = path_integral(model, inputs[at], int(classes[at]), int(found.steps[at]))
        torch.testing.assert_close(found.values[at], expected, rtol=1e-3, atol=1e-5)


class Jump(nn.Module):
    """A step between the mean colour and the image, which gradients do not see."""

    def forward(self, inputs: Tensor) -> Tensor:
        total = inputs.sum((1, 2, 3))
        return torch.stack([total + (total > 0.5), total], 1)


def test_a_gap_that_no_number_of_steps_closes_is_reported() -> None:
    inputs = torch.ones(2, 1, 1, 1)
    with eval_mode(Jump(), has_gradients=True) as inside:
        found = integrate_gradients(inside, inputs, torch.tensor([0, 1]))
    # The difference of the logits is 2, and the attribution 1; of the other class both are 1.
    assert found.values.flatten().tolist() == pytest.approx([1, 1])
    assert found.gaps.tolist() == pytest.approx([0.5, 0], abs=1e-6)
    assert found.steps.tolist() == [INTEGRATION_STEPS[-1], INTEGRATION_STEPS[0]]


def test_without_any_difference_there_is_no_gap() -> None:
    inputs, classes = torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 0])
    with eval_mode(Blind(), has_gradients=True) as inside:
        found = integrate_gradients(inside, inputs, classes)
    assert found.gaps.tolist() == [0.0] * 3
    assert found.steps.tolist() == [INTEGRATION_STEPS[0]] * 3


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
