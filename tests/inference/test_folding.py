"""A folded network predicts what the network predicts, and what is not proven is not folded."""

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from visionlib.eval_mode import Precision, eval_mode
from visionlib.inference import folding
from visionlib.inference.folding import folded_network
from visionlib.inference.fused_convolution import FusedConvolution
from visionlib.inference.prediction import predict
from visionlib.models import build_model

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def fused(layers: list[nn.Module]) -> list[FusedConvolution]:
    return [layer for layer in layers if isinstance(layer, FusedConvolution)]


def randomized(model: nn.Module) -> nn.Module:
    """Give normalizations weights and statistics that are nobody's defaults."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                values = (module.weight, module.bias, module.running_mean, module.running_var)
                for value, low in zip(values, (0.5, -0.5, -0.5, 0.5), strict=True):
                    if value is not None:
                        value.uniform_(low, low + 1, generator=generator)
    return model.eval()


def run_both(
    model: nn.Module, precision: Precision = "fp32", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, list[nn.Module]]:
    """Return the outputs of a network and of the folded one, and the layers of the latter; it runs twice, since weights
    are packed once.
    """
    inputs = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=dtype)
    before = copy.deepcopy(model.state_dict())
    with eval_mode(model, precision=precision), folded_network(model, precision) as folded:
        folded(inputs.clone())
        outputs = model(inputs.clone()), folded(inputs.clone())
        layers = list(folded.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return *outputs, layers


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "resnet9", "cnn8"])
def test_every_normalization_of_a_built_in_network_is_folded(name: str) -> None:
    model = randomized(build_model(name))
    expected, found, folded = run_both(model)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Conv2d) for module in folded)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    with torch.no_grad():
        inputs = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        exact = copy.deepcopy(model).double()(inputs.double())
    half, folded_half, _ = run_both(model, "bf16")
    error, folded_error = (float((logits - exact).norm() / exact.norm()) for logits in (half, folded_half))
    assert 0 < folded_error < max(1.5 * error, 0.01)  # one rounding less for each layer, and another draw of the rest


def test_sums_overwrite_the_shortcut_only_where_it_is_not_read_again() -> None:
    _, _, folded = run_both(randomized(build_model("resnet18")))
    assert sum(conv.overwrites_shortcut for conv in fused(folded)) == 8


def is_folded(model: nn.Module) -> bool:
    with folded_network(model, "fp32") as folded:
        return folded is not model


class Own(nn.Module):
    """A network with a forward of its own; `norms` are as many as it has use for."""

    def __init__(self, run: Callable[["Own", Tensor], Tensor]) -> None:
        super().__init__()
        self.run, self.calls = run, 0
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.conv, self.other = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)
        self.norm, self.norm2 = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(16, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.run(self, self.stem(inputs)).mean((2, 3)))
        return outputs


FORWARDS: dict[str, Callable[[Own, Tensor], Tensor]] = {
    "conv output read twice": lambda net, x: net.norm(y := net.conv(x)) + y,
    "one conv, two norms": lambda net, x: net.norm2(net.conv(net.norm(net.conv(x)).relu())),
    "norm output read twice": lambda net, x: (y := net.norm(net.conv(x))).relu() + y,
    "shortcut is the input": lambda net, x: F.relu(net.norm(net.conv(x)) + x),
    "shortcut is overwritten in between": lambda net, x: net.norm(net.conv(x)) + net.relu(x),
    "input is overwritten in between": lambda net, x: net.norm(net.conv(x)) + net.other(net.relu(x)),
    "shortcut is read afterwards": lambda net, x: net.norm(net.conv(y := net.other(x))) + y + net.norm2(y),
    "shortcut is read through a view": lambda net, x: (
        (net.norm(net.conv(x)) + (y := net.other(x))) * (z := y.view(y.shape)) + z
    ),
    "shortcut broadcasts": lambda net, x: net.norm(net.conv(x)) + net.other(x).mean((2, 3), keepdim=True),
    "two convs summed": lambda net, x: net.relu(net.norm(net.conv(x)) + net.norm2(net.other(x))),
    "doubled": lambda net, x: (y := net.norm(net.conv(x))) + y,
    "relu functions": lambda net, x: torch.relu(F.relu(net.norm(net.conv(x)), inplace=True) - 1),
    "gelu of a sum": lambda net, x: F.gelu(net.norm(net.conv(x)) + net.norm2(net.other(x))),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_only_what_is_alone_is_fused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = randomized(Own(FORWARDS[name]))
    assert not is_folded(model)  # its code is not known
    monkeypatch.setattr(folding, "_KNOWN_CODE", (*folding._KNOWN_CODE, __name__))
    expected, found, folded = run_both(model)
    assert fused(folded)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def chain(*layers: nn.Module) -> nn.Module:
    return randomized(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


SHARED = nn.Conv2d(8, 8, 3)
CHAINS: dict[str, tuple[int, nn.Module]] = {  # with the number of normalizations that are left
    "one conv, two norms": (0, chain(nn.Conv2d(3, 8, 1), SHARED, nn.BatchNorm2d(8), SHARED, nn.BatchNorm2d(8))),
    "no statistics": (1, chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU())),
    "no weights": (0, chain(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False), nn.ReLU())),
    "groups": (0, chain(nn.Conv2d(3, 9, 3, groups=3, dilation=2, stride=(2, 1)), nn.BatchNorm2d(9), nn.GELU())),
    "depthwise": (0, chain(nn.Conv2d(3, 6, (3, 5), padding=(1, 2), groups=3), nn.BatchNorm2d(6), nn.ReLU())),
    "tanh gelu": (0, chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU(approximate="tanh"))),
    "reflected": (1, chain(nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8))),
    "padding by name": (1, chain(nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8))),
    "norm first": (1, chain(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3))),
    "maximum between": (0, chain(nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())),
    "mean between": (1, chain(nn.Conv2d(3, 8, 3), nn.AvgPool2d(2), nn.BatchNorm2d(8), nn.ReLU())),
    "dropout between": (1, chain(nn.Conv2d(3, 8, 3), nn.Dropout(), nn.BatchNorm2d(8), nn.ReLU6())),
    "parametrized": (1, chain(parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), nn.ReLU())),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_of_every_kind_are_folded_or_left(name: str, precision: Precision) -> None:
    left, model = CHAINS[name]
    expected, found, folded = run_both(model, precision)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded) == left
    tolerance = 1e-5 if precision == "fp32" else 0.03
    torch.testing.assert_close(found.float(), expected.float(), rtol=tolerance, atol=tolerance)


def test_a_maximum_is_not_exchanged_with_a_negative_factor() -> None:
    model = chain(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.BatchNorm2d(8))
    with torch.no_grad():
        model.get_submodule("2").weight[3] = -1  # type: ignore[operator]
    expected, found, folded = run_both(model)
    assert any(isinstance(module, nn.BatchNorm2d) for module in folded)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_in_float64_stay_exact(precision: Precision) -> None:
    model = randomized(build_model("resnet20")).double()
    expected, found, folded = run_both(model, precision, torch.float64)
    assert fused(folded)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


class SubclassedConv(nn.Conv2d):
    def _conv_forward(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs: Tensor = super()._conv_forward(inputs, weight - weight.mean(), bias)
        return outputs


class Subclassed(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> "Subclassed":
        return super().train(mode=True)


def with_hook(register: str) -> nn.Module:
    model = chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    getattr(model.get_submodule("0"), register)(lambda *args: None)
    return model


def with_own_forward() -> nn.Module:
    model = chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    model.get_submodule("0").forward = lambda x: F.conv2d(x, torch.ones(8, 3, 3, 3))
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain(SubclassedConv(3, 8, 3), nn.BatchNorm2d(8)),
        lambda: chain(nn.Conv2d(3, 8, 3), Subclassed(8)),
        lambda: with_hook("register_forward_hook"),
        lambda: with_hook("register_forward_pre_hook"),
        with_own_forward,
        lambda: nn.utils.spectral_norm(build_model("resnet20").get_submodule("conv1")),
        lambda: chain(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8).double()),
        lambda: build_model("resnet20").to(torch.bfloat16),
        lambda: torch.nn.DataParallel(Own(FORWARDS["doubled"])),
    ],
)
def test_networks_that_are_not_proven_run_as_they_are(make: Callable[[], nn.Module]) -> None:
    model = make()
    with eval_mode(model):
        assert not is_folded(model)


def test_hooks_for_all_modules_see_all_modules() -> None:
    model, seen = build_model("resnet20"), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        predict(model, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), mean=MEAN, std=STD)
    finally:
        handle.remove()
    assert seen.count(nn.BatchNorm2d) == 19


def test_the_layers_of_a_network_are_freed_with_it() -> None:
    model = build_model("resnet20")
    predict(model, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), mean=MEAN, std=STD)
    layers = [weakref.ref(module) for module in model.modules()]
    gc.disable()
    try:
        del model
        assert not [layer for layer in layers if layer() is not None]
    finally:
        gc.enable()


def test_predictions_follow_the_weights() -> None:
    model, images = randomized(build_model("resnet20")), torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    before = predict(model, images, mean=MEAN, std=STD).logits
    model.get_submodule("bn1").weight.data.mul_(2)  # type: ignore[operator]
    assert not torch.equal(predict(model, images, mean=MEAN, std=STD).logits, before)


def test_one_channel_and_errors_of_torch() -> None:
    model = build_model("resnet20", channels=1)
    images = torch.randint(0, 256, (3, 1, 9, 8), dtype=torch.uint8)
    with torch.no_grad():
        expected = model.eval()((images / 255 - 0.5) / 0.25)
    found = predict(model, images, mean=(0.5,), std=(0.25,)).logits
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="expected input"):
        predict(model, images.expand(-1, 3, -1, -1), mean=MEAN, std=STD)
