"""A map leaves the network and the caller's modes of autograd and autocast as they were."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Tiny
from visionlib.errors import ModelError
from visionlib.eval_mode import eval_mode, unwrap_model
from visionlib.explanation import METHODS, make_map_maker
from visionlib.explanation.activation_maps import divide_by_peak

INPUTS, CLASSES = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])


def awkward_network() -> Tiny:
    """Half in training mode, one weight frozen, gradients already there."""
    model = Tiny()
    model.train()
    model.conv2.eval()
    model.conv1.weight.requires_grad = False
    model.linear.weight.grad = torch.full_like(model.linear.weight, 3.0)
    return model


def state_of(model: nn.Module) -> dict[str, object]:
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "weights": [value.tolist() for value in model.state_dict().values()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "random": torch.get_rng_state().tolist(),
        "gradients on": torch.is_grad_enabled(),
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_network_is_as_it_was(method: str) -> None:
    model = awkward_network()
    before = state_of(model)
    make_map_maker(method, model, (3, 12, 12))(model, INPUTS, CLASSES)
    assert state_of(model) == before


class Breaking(Tiny):
    """Raises when it has run halfway, from the third time on."""

    runs = 0

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.conv1(inputs)
        torch.rand(3)
        self.runs += 1
        if self.runs > 2:
            raise RuntimeError("broken halfway")
        logits: Tensor = self.linear(self.conv2(features).mean((2, 3)))
        return logits


@pytest.mark.parametrize("method", METHODS)
def test_it_is_so_when_it_breaks_halfway(method: str) -> None:
    model = Breaking()
    maker = make_map_maker(method, model, (3, 12, 12))
    model.runs = 5
    before = state_of(model)
    with pytest.raises(RuntimeError, match="broken halfway"):
        maker(model, INPUTS, CLASSES)
    assert state_of(model) == before


@pytest.mark.parametrize("context", [nullcontext, torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("method", ["layercam-fused", "integrated-gradients", "occlusion"])
def test_the_autograd_mode_of_the_caller_does_not_matter(
    method: str, context: Callable[[], AbstractContextManager[object]]
) -> None:
    model = Tiny().eval()
    maker = make_map_maker(method, model, (3, 12, 12))
    expected = maker(model, INPUTS, CLASSES)
    with context():
        inputs, classes = INPUTS + 0, CLASSES + 0
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = maker(model, inputs, classes)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(found, expected)


def test_a_caller_in_autocast_gets_the_precision_that_the_maker_has() -> None:
    model = Tiny().eval()
    maker = make_map_maker("layercam", model, (3, 12, 12))
    expected = maker(model, INPUTS, CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(maker(model, INPUTS, CLASSES), expected)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_frozen_weights_and_channels_last_give_the_same_maps(is_frozen: bool) -> None:
    model = Tiny().eval()
    expected = make_map_maker("layercam-fused", model, (3, 12, 12))(model, INPUTS, CLASSES)
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other.requires_grad_(not is_frozen)
    found = make_map_maker("layercam-fused", other, (3, 12, 12))(
        other, INPUTS.contiguous(memory_format=torch.channels_last), CLASSES
    )
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("method", ["layercam-fused", "integrated-gradients", "occlusion"])
def test_weights_in_bf16_give_nearly_the_same_maps(method: str) -> None:
    model = Tiny().eval()
    expected = divide_by_peak(make_map_maker(method, model, (3, 12, 12))(model, INPUTS, CLASSES))
    rough = copy.deepcopy(model).to(torch.bfloat16)
    found = divide_by_peak(make_map_maker(method, rough, (3, 12, 12))(rough, INPUTS, CLASSES))
    assert found.dtype == torch.float32
    assert float((found - expected).abs().mean()) < 0.1


def test_wrapped_networks_are_explained_by_the_network_inside() -> None:
    model = Tiny().eval()
    expected = make_map_maker("layercam", model, (3, 12, 12))(model, INPUTS, CLASSES)
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        assert isinstance(wrapped, nn.Module)
        assert unwrap_model(wrapped) is model
        assert torch.equal(make_map_maker("layercam", wrapped, (3, 12, 12))(wrapped, INPUTS, CLASSES), expected)


def test_within_the_block_it_is_in_evaluation_mode_with_frozen_weights() -> None:
    model = awkward_network()
    with eval_mode(model, has_gradients=True) as inside:
        assert not any(module.training for module in inside.modules())
        assert not any(parameter.requires_grad for parameter in inside.parameters())


def test_a_class_out_of_range_is_reported_in_one_line() -> None:
    model = Tiny()
    maker = make_map_maker("layercam", model, (3, 12, 12))
    with pytest.raises(ModelError, match=r"class: 3 is out of range; the network has 0\.\.2"):
        maker(model, INPUTS, CLASSES + 1)
