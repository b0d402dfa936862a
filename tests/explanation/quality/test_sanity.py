"""Maps that depend on the weights change when these are shuffled; maps of the image alone do not, and fail."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from tests.explanation.networks import Tiny
from visionlib.explanation.quality import MethodQuality
from visionlib.explanation.quality.correlation import correlate_ranks
from visionlib.explanation.quality.estimate import average
from visionlib.explanation.quality.sanity import compare_with_randomized, randomize_parts


def quality_of(sanity: Tensor) -> MethodQuality:
    return MethodQuality("x", (), (8, 8), average(sanity), {}, None, None, None, None, None, {}, constant_fraction=0.0)


def test_rank_correlation_against_scipy() -> None:
    a, b = torch.randint(0, 5, (6, 4, 4)).float(), torch.randn(6, 4, 4)
    expected = [spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert correlate_ranks(a, b).numpy() == pytest.approx(np.array(expected), abs=1e-6)
    assert correlate_ranks(a, 7 * a.exp()).tolist() == pytest.approx([1.0] * 6)
    assert correlate_ranks(a, -a).tolist() == pytest.approx([-1.0] * 6)


def test_maps_of_two_resolutions_are_compared_at_the_coarser() -> None:
    coarse = torch.randn(3, 2, 2)
    fine = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert correlate_ranks(fine, coarse).tolist() == pytest.approx([1.0] * 3)
    assert correlate_ranks(coarse, fine).tolist() == pytest.approx([1.0] * 3)


def test_a_constant_map_correlates_with_nothing() -> None:
    assert bool(correlate_ranks(torch.ones(2, 3, 3), torch.randn(2, 3, 3)).isnan().all())


def edges(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """An edge detector, which no network has any part in."""
    return (inputs[:, :, 1:, 1:] - inputs[:, :, :-1, :-1]).abs().sum(1)


def weights_of_the_class(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """A map that is nothing but what was learned."""
    assert isinstance(model, Tiny)
    return model.linear.weight[classes].detach().view(-1, 2, 4)


def test_an_edge_detector_fails_and_what_is_learned_passes() -> None:
    model, inputs, classes = Tiny(), torch.randn(40, 3, 12, 12), torch.arange(40) % 3
    for make, value, is_passed in ((edges, 1.0, False), (weights_of_the_class, 0.0, True)):
        last = list(compare_with_randomized(make, model, inputs, classes, make(model, inputs, classes)).values())[-1]
        assert float(last.mean()) == pytest.approx(value, abs=0.45 if is_passed else 1e-6)
        assert quality_of(last).is_passed is is_passed
    assert "failed the sanity check" in quality_of(torch.ones(5)).verdict


def test_maps_that_were_constant_before_say_nothing_and_those_that_become_so_count_as_changed() -> None:
    model, inputs, classes = Tiny(), torch.randn(4, 3, 12, 12), torch.arange(4) % 3

    def becoming_constant(network: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
        return torch.ones(4, 2, 2)

    before = torch.randn(4, 2, 2)
    before[1] = 3.0
    last = list(compare_with_randomized(becoming_constant, model, inputs, classes, before).values())[-1]
    assert last.isnan().tolist() == [False, True, False, False]
    assert last.nan_to_num().tolist() == [0.0] * 4
    everywhere = compare_with_randomized(becoming_constant, model, inputs, classes, torch.ones(4, 2, 2))
    assert quality_of(list(everywhere.values())[-1]).is_passed is None


def test_randomization_goes_from_the_output_to_the_input_and_leaves_the_network_alone() -> None:
    model = Tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []
    for name, randomized in randomize_parts(model, seed=1):
        changed = {
            key.split(".")[0] for key, value in randomized.state_dict().items() if not torch.equal(value, before[key])
        }
        seen.append((name, changed))
        for key, value in randomized.state_dict().items():
            assert value.flatten().sort().values.tolist() == before[key].flatten().sort().values.tolist()
    assert seen == [
        ("linear", {"linear"}),
        ("conv2", {"linear", "conv2"}),
        ("conv1", {"linear", "conv2", "conv1"}),
    ]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    first, again = (list(randomize_parts(model, seed=2))[-1][1].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
