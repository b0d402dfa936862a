"""Weights are moved as the formula says, alike whatever their lengths, and come back to the bit."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from visionlib.models import build_model
from visionlib.training.sam import sam_perturbation


def net_with_gradients(scale: float = 1.0) -> nn.Sequential:
    """Two layers, the first of them times a scale that its normalisation takes away again."""
    torch.manual_seed(0)
    first = nn.Linear(4, 5, bias=False)
    net = nn.Sequential(first, nn.BatchNorm1d(5, eps=1e-9), nn.Linear(5, 3))
    inputs = torch.randn(32, 4)
    with torch.no_grad():
        first.weight.mul_(scale)
    net(inputs).square().mean().backward()
    return net


def test_all_moves_together_are_as_long_as_the_radius() -> None:
    net = net_with_gradients()
    before = [p.detach().clone() for p in net.parameters()]
    with sam_perturbation(net, 0.1):
        moves = [(p.detach() - old) for p, old in zip(net.parameters(), before, strict=True)]
    shares = [move.norm() / old.norm() for move, old in zip(moves, before, strict=True) if old.ndim > 1]
    assert torch.stack(shares).norm().item() == pytest.approx(0.1, rel=1e-5)
    assert min(shares) > 0
    for parameter, move in zip(net.parameters(), moves, strict=True):
        assert parameter.grad is not None
        if parameter.ndim > 1:
            along = torch.cosine_similarity(move.flatten(), parameter.grad.flatten(), dim=0)
            assert along.item() == pytest.approx(1, abs=1e-5)
        else:
            assert not move.any()


def test_a_layer_of_another_length_is_moved_alike() -> None:
    shown = torch.randn(8, 4)
    outputs = []
    for scale in (1.0, 16.0):
        net = net_with_gradients(scale)
        with sam_perturbation(net, 0.1):
            outputs.append(net(shown).detach())
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_uphill_the_loss_is_higher() -> None:
    net = net_with_gradients()
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    level = net(inputs).square().mean().item()
    with sam_perturbation(net, 0.1):
        assert net(inputs).square().mean().item() > level


@pytest.mark.parametrize("interrupted", [False, True])
def test_weights_and_statistics_come_back_to_the_bit(interrupted: bool) -> None:
    model = build_model("resnet20").train()
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed: list[str] = []

    def look_uphill() -> None:
        with sam_perturbation(model, 0.3):
            model(torch.randn(4, 3, 16, 16))
            now = model.state_dict().items()
            changed.extend(name for name, tensor in now if not torch.equal(tensor, before[name]))
            if interrupted:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        look_uphill()
    kinds = {name.rpartition(".")[2] for name in changed}
    assert kinds == {"weight", "running_mean", "running_var", "num_batches_tracked"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_level_ground_and_weights_without_a_gradient_move_nothing() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    before = [p.detach().clone() for p in net.parameters()]
    for gradient in (None, 0.0):
        for parameter in net.parameters():
            parameter.grad = None if gradient is None else torch.zeros_like(parameter)
        with sam_perturbation(net, 0.1):
            assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))
