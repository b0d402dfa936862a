"""Maximum sensitivity: solved by hand, and against a loop over images and samples of noise."""

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Blind, Linear, Tiny
from tests.oracles import max_sensitivity
from visionlib.explanation import make_map_maker
from visionlib.explanation.quality.sensitivity import measure_sensitivity

ZEROS = torch.zeros(3, dtype=torch.int64)


def brightness(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """A map of one cell: the largest value of the image."""
    return inputs.amax((1, 2, 3))[:, None, None]


def test_by_hand() -> None:
    inputs = torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1, 1)
    before = brightness(Blind(), inputs, ZEROS)
    found = measure_sensitivity(brightness, Blind(), inputs, ZEROS, before, std=(0.5,), radius=0.1, samples=2000)
    # The map changes by as much as the noise, whose radius is 0.1 / 0.5.
    assert found.tolist() == pytest.approx([0.2, 0.1, 0.05], rel=0.01)
    assert bool((found <= torch.tensor([0.2, 0.1, 0.05]) + 1e-6).all())


def test_a_map_that_does_not_change_has_none_and_one_without_evidence_is_unknown() -> None:
    inputs, model = torch.randn(3, 1, 8, 8), Linear()
    maker = make_map_maker("gradient", model, (1, 8, 8))
    assert measure_sensitivity(maker, model, inputs, ZEROS, maker(model, inputs, ZEROS), std=(1.0,)).tolist() == [0] * 3
    blind = make_map_maker("gradient", Blind(), (1, 8, 8))
    before = blind(Blind(), inputs, ZEROS)
    assert bool(measure_sensitivity(blind, Blind(), inputs, ZEROS, before, std=(1.0,)).isnan().all())


@pytest.mark.parametrize("method", ["layercam-fused", "gradient-x-input"])
def test_against_a_loop_over_images_and_noises(method: str) -> None:
    model, std, radius = Tiny().eval(), (0.2, 0.25, 0.3), 0.05
    inputs, classes = torch.randn(3, 3, 12, 12), torch.tensor([0, 2, 1])
    maker = make_map_maker(method, model, (3, 12, 12))
    before = maker(model, inputs, classes)
    found = measure_sensitivity(maker, model, inputs, classes, before, std=std, radius=radius, samples=4, seed=3)
    generator = torch.Generator().manual_seed(3)
    radii = radius / torch.tensor(std)[:, None, None]
    noises = [(2 * torch.rand(3, 3, 12, 12, generator=generator) - 1) * radii for _ in range(4)]
    assert all(bool((noise.abs() <= radii).all()) for noise in noises)
    for at in range(3):

        def explain(image: Tensor, at: int = at) -> Tensor:
            return maker(model, image[None], classes[at : at + 1])

        expected = max_sensitivity(explain, inputs[at], [noise[at] for noise in noises])
        assert float(found[at]) == pytest.approx(expected, rel=1e-3)
        assert expected > 0
    again = measure_sensitivity(maker, model, inputs, classes, before, std=std, radius=radius, samples=4, seed=4)
    assert not torch.equal(again, found)
