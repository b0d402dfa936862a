"""The SAM perturbation equals its formula, does not depend on a layer's norm, and is undone to the bit."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from visionlib.models import build_model
from visionlib.training.sam import sam_perturbation


def net_with_gradients(scale: float = 1.0) -> nn.Sequential:
    """Two layers; the normalization behind the first cancels its scale."""
    torch.manual_seed(0)
    first = nn.Linear(4, 5, bias=False)
    net = nn.Sequential(first, nn.BatchNorm1d(5, eps=1e-9), nn.Linear(5, 3))
    inputs = torch.randn(32, 4)
    with torch.no_grad():
        first.weight.mul_(scale)
    net(inputs).square().mean().backward()
    return net


def test_relative_perturbations_have_the_norm_of_the_radius() -> None:
    net = net_with_gradients()
    before = [p.detach().clone() for p in net.parameters()]
    with sam_perturbation(net, 0.1):
        perturbations = [(p.detach() - old) for p, old in zip(net.parameters(), before, strict=True)]
    relative = [change.norm() / old.norm() for change, old in zip(perturbations, before, strict=True) if old.ndim > 1]
    assert torch.stack(relative).norm().item() == pytest.approx(0.1, rel=1e-5)
    assert min(relative) > 0
    for parameter, change in zip(net.parameters(), perturbations, strict=True):
        assert parameter.grad is not None
        if parameter.ndim > 1:
            cosine = torch.cosine_similarity(change.flatten(), parameter.grad.flatten(), dim=0)
            assert cosine.item() == pytest.approx(1, abs=1e-5)
        else:
            assert not change.any()


def test_the_outputs_do_not_depend_on_a_layers_norm() -> None:
    inputs = torch.randn(8, 4)
    outputs = []
    for scale in (1.0, 16.0):
        net = net_with_gradients(scale)
        with sam_perturbation(net, 0.1):
            outputs.append(net(inputs).detach())
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_the_loss_is_higher_at_perturbed_weights() -> None:
    net = net_with_gradients()
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)
    loss = net(inputs).square().mean().item()
    with sam_perturbation(net, 0.1):
        assert net(inputs).square().mean().item() > loss


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_weights_and_statistics_are_restored_to_the_bit(is_interrupted: bool) -> None:
    model = build_model("resnet20").train()
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed: list[str] = []

    def run_perturbed() -> None:
        with sam_perturbation(model, 0.3):
            model(torch.randn(4, 3, 16, 16))
            state = model.state_dict().items()
            changed.extend(name for name, tensor in state if not torch.equal(tensor, before[name]))
            if is_interrupted:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if is_interrupted else nullcontext():
        run_perturbed()
    kinds = {name.rpartition(".")[2] for name in changed}
    assert kinds == {"weight", "running_mean", "running_var", "num_batches_tracked"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_gradients_or_with_zero_gradients_nothing_is_perturbed() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    before = [p.detach().clone() for p in net.parameters()]
    for gradient in (None, 0.0):
        for parameter in net.parameters():
            parameter.grad = None if gradient is None else torch.zeros_like(parameter)
        with sam_perturbation(net, 0.1):
            assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))
