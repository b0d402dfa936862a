"""Networks that switch gradients off in forward: methods without gradients work, the others say why they do not."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Tiny
from tests.explanation.test_state_restored import state_of
from visionlib.errors import ModelError
from visionlib.explanation import METHODS, make_map_maker

FREE = ("score-cam", "occlusion")
INPUTS, CLASSES = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])
REMEDY = "take score-cam or occlusion, which need no gradients"


class Closed(Tiny):
    """Runs all of itself without gradients."""

    def __init__(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__()
        self.context = context

    def forward(self, inputs: Tensor) -> Tensor:
        with self.context():
            return super().forward(inputs)


class Decorated(Tiny):
    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)


class ClosedHead(Tiny):
    """Switches gradients off behind its last layer, in functions alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.relu2(self.conv2(self.relu1(self.conv1(inputs))))
        with torch.no_grad():
            return nn.functional.linear(features.mean((2, 3)), self.linear.weight, self.linear.bias)


class Detaching(Tiny):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).detach()


class FrozenStem(Tiny):
    """Only its head has gradients."""

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.relu1(self.conv1(inputs))
        logits: Tensor = self.linear(self.relu2(self.conv2(features)).mean((2, 3)))
        return logits


NETWORKS: dict[str, Callable[[], Tiny]] = {
    "no_grad": lambda: Closed(torch.no_grad),
    "inference_mode": lambda: Closed(torch.inference_mode),
    "decorator": Decorated,
    "head": ClosedHead,
    "detach": Detaching,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_methods_without_gradients_give_the_same_maps(kind: str) -> None:
    model, twin = NETWORKS[kind](), Tiny()
    twin.load_state_dict(model.state_dict())
    before = state_of(model)
    for method in FREE:
        found, expected = (make_map_maker(method, one, (3, 12, 12))(one, INPUTS, CLASSES) for one in (model, twin))
        assert torch.equal(found, expected)
        assert bool(found.any())
        assert not found.is_inference()
    assert state_of(model) == before


@pytest.mark.parametrize("kind", NETWORKS)
def test_methods_with_gradients_say_why_they_cannot(kind: str) -> None:
    model = NETWORKS[kind]()
    before = state_of(model)
    reason = "the forward detaches it, or does not use it" if kind == "detach" else "the forward runs under no_grad"
    for name, method in METHODS.items():
        if name in FREE:
            continue
        what = "pixels" if method.is_of_input else "layer conv1|layer relu1|layer conv2|layer relu2"
        with pytest.raises(ModelError, match=rf"^({what}): no gradient of the logits reaches it: {reason}; {REMEDY}$"):
            make_map_maker(name, model, (3, 12, 12))(model, INPUTS, CLASSES)
    assert state_of(model) == before


def test_of_a_frozen_stem_the_layers_that_gradients_reach_are_explained() -> None:
    model, twin = FrozenStem(), Tiny()
    twin.load_state_dict(model.state_dict())
    for method in ("grad-cam", "layercam"):
        for layer in ("conv2", "relu2", "relu1"):
            # The last module of the stem, too: what follows it has gradients.
            found, expected = (
                make_map_maker(method, one, (3, 12, 12), layers=[layer])(one, INPUTS, CLASSES) for one in (model, twin)
            )
            torch.testing.assert_close(found, expected)
        with pytest.raises(ModelError, match="layer conv1: no gradient of the logits reaches it: the forward runs"):
            make_map_maker(method, model, (3, 12, 12), layers=["conv1", "conv2"])(model, INPUTS, CLASSES)


def test_a_network_that_ignores_the_pixels_gives_zeros_under_no_grad_too() -> None:
    class Constant(nn.Module):
        @torch.no_grad()
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.ones(len(inputs), 3)

    found = make_map_maker("gradient", Constant(), (3, 12, 12))(Constant(), INPUTS, CLASSES)
    assert bool((found == 0).all())
