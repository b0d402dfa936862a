"""Logits and embeddings are the network's own, for every batch size, and the network is restored."""

import gc
from typing import Any, Literal

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError
from visionlib.inference.prediction import Predictions, predict, predict_logits
from visionlib.inference.preprocessing import normalize_images
from visionlib.models import build_model

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def draw_images(n: int, side_px: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, side_px, side_px), dtype=torch.uint8, generator=generator)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A network whose normalization statistics are those of images."""
    net = build_model("resnet20")
    with torch.no_grad():
        net(normalize_images(draw_images(64), MEAN, STD))
    return net


def test_logits_and_embeddings_are_those_of_the_model(model: nn.Module) -> None:
    images = draw_images(10)
    predictions = predict(model, images, mean=MEAN, std=STD, batch_size=4)
    model.eval()
    with torch.no_grad():
        inputs = (images / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        torch.testing.assert_close(predictions.logits, model(inputs), rtol=1e-4, atol=1e-4)
    model.train()
    assert predictions.embeddings is not None
    assert predictions.embeddings.shape == (10, 64)
    linear = model.get_submodule("linear")
    assert isinstance(linear, nn.Linear)
    again = linear(predictions.embeddings.float()).detach()
    torch.testing.assert_close(again, predictions.logits, rtol=1e-2, atol=1e-2)
    assert not predictions.logits.requires_grad
    assert not predictions.logits.is_inference()


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("name", "side_px"), [("resnet18", 8), ("resnet20", 16), ("resnet9", 16), ("cnn8", 16)])
def test_every_batch_size_gives_the_same_bits(
    name: str, side_px: int, precision: Literal["fp32", "bf16"], memory_format: torch.memory_format
) -> None:
    images = draw_images(7, side_px)
    net = build_model(name)
    with torch.no_grad():
        net(normalize_images(images, MEAN, STD))
    net = net.to(memory_format=memory_format)  # type: ignore[call-overload]

    def run(batch_size: int, n: int = 7) -> Predictions:
        return predict(net, images[:n], mean=MEAN, std=STD, batch_size=batch_size, precision=precision)

    at_once = run(7)
    assert at_once.embeddings is not None
    for batch_size in (1, 2, 3, 250):
        part = run(batch_size)
        assert torch.equal(part.logits, at_once.logits)
        assert part.embeddings is not None
        assert torch.equal(part.embeddings, at_once.embeddings)
    assert torch.equal(run(250, n=1).logits, at_once.logits[:1])


def test_bf16_is_close_to_fp32_and_comes_as_float32(model: nn.Module) -> None:
    full, half = (
        predict(model, draw_images(6), mean=MEAN, std=STD, precision=precision) for precision in ("fp32", "bf16")
    )
    assert half.logits.dtype == torch.float32
    assert not torch.equal(half.logits, full.logits)
    torch.testing.assert_close(half.logits, full.logits, rtol=0.05, atol=0.3)


def test_fp32_is_fp32_within_a_callers_autocast(model: nn.Module) -> None:
    expected = predict_logits(model, draw_images(3), mean=MEAN, std=STD)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(predict_logits(model, draw_images(3), mean=MEAN, std=STD), expected)


def test_training_goes_on_within_a_callers_autocast() -> None:
    net = build_model("resnet20")
    with torch.autocast("cpu", torch.bfloat16):
        predict(net, draw_images(3), mean=MEAN, std=STD, precision="bf16")
        net(normalize_images(draw_images(3), MEAN, STD)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_mirror_averages_both_views(model: nn.Module) -> None:
    images = draw_images(5)
    plain = predict(model, images, mean=MEAN, std=STD)
    mirrored = predict_logits(model, images.flip(3), mean=MEAN, std=STD)
    both = predict(model, images, mean=MEAN, std=STD, mirror=True, batch_size=2)
    assert torch.equal(both.logits, (plain.logits + mirrored) / 2)
    assert not torch.equal(both.logits, plain.logits)
    assert both.embeddings is not None
    assert plain.embeddings is not None
    assert torch.equal(both.embeddings, plain.embeddings)


def test_no_images_give_no_rows(model: nn.Module) -> None:
    predictions = predict(model, draw_images(0), mean=MEAN, std=STD)
    assert predictions.logits.shape == (0, 10)
    assert predictions.embeddings is not None
    assert predictions.embeddings.shape == (0, 64)


def test_the_model_is_restored(model: nn.Module) -> None:
    model.train()
    model.get_submodule("layer2").eval()
    frozen = model.get_submodule("layer3.0.bn1").eval()
    modes = [module.training for module in model.modules()]
    before, generator = snapshot(model), torch.random.get_rng_state()
    predict(model, draw_images(9), mean=MEAN, std=STD, batch_size=4, mirror=True)
    assert [module.training for module in model.modules()] == modes
    assert not frozen.training
    assert all(torch.equal(value, before[name]) for name, value in snapshot(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.random.get_rng_state(), generator)
    model.train()


class Returning(nn.Module):
    """Returns the value of a function of its linear layer and its inputs, and records its mode."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm2d(3)
        self.was_training: list[bool] = []

    def forward(self, inputs: Tensor) -> Any:
        self.was_training.append(self.training or self.norm.training)
        return self.output(self.linear, self.norm(inputs))


def test_a_prediction_leaves_no_tensors_behind(model: nn.Module) -> None:
    images = draw_images(20)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        predict(model, images, mean=MEAN, std=STD)
        gc.collect()
        # Cyclic garbage stays for long in a process that allocates much memory in few objects.
        assert not [value for value in gc.garbage if type(value) in (Tensor, nn.Parameter)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_everything_is_restored_after_an_exception() -> None:
    def fail(linear: nn.Linear, inputs: Tensor) -> Tensor:
        raise OverflowError("the user's own")

    net = Returning(fail)
    net.norm.eval()
    before = snapshot(net)
    with pytest.raises(OverflowError, match="the user's own"):
        predict(net, draw_images(4), mean=MEAN, std=STD)
    assert net.was_training == [False]
    assert [net.training, net.linear.training, net.norm.training] == [True, True, False]
    assert not net.linear._forward_pre_hooks
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert all(torch.equal(value, before[name]) for name, value in snapshot(net).items())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda linear, x: {"logits": x}, r"Returning: returned a dict, not a tensor; its forward must return"),
        (lambda linear, x: x, r"returned a float32 tensor of shape \(16, 3, 16, 16\).* \(16, classes\) for 16 images"),
        (lambda linear, x: x[:, :, 0, 0].sum(0), r"returned a float32 tensor of shape \(3,\)"),
        (lambda linear, x: x[:1, :, 0, 0], r"returned a float32 tensor of shape \(1, 3\)"),
        (lambda linear, x: x[:, :, 0, 0].argmax(1, keepdim=True), r"returned a int64 tensor of shape \(16, 1\)"),
    ],
)
def test_outputs_that_are_not_logits_are_errors(output: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        predict(Returning(output), draw_images(4), mean=MEAN, std=STD)


def test_embeddings_are_the_inputs_of_the_linear_layer_that_ran_last() -> None:
    net = Returning(lambda linear, x: linear(linear(x.mean((2, 3)))[:, 1:]))
    predictions = predict(net, draw_images(5), mean=MEAN, std=STD, batch_size=2)
    assert predictions.embeddings is not None
    with torch.no_grad():
        torch.testing.assert_close(net.linear(predictions.embeddings.float()), predictions.logits, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    "output",
    [
        lambda linear, x: x.mean((2, 3)),  # its linear layer does not run
        lambda linear, x: linear(x.permute(0, 2, 3, 1)).mean((1, 2)),  # its linear layer runs on every pixel
    ],
)
def test_without_a_row_per_image_there_are_no_embeddings(output: Any) -> None:
    predictions = predict(Returning(output), draw_images(5), mean=MEAN, std=STD)
    assert predictions.embeddings is None
    assert len(predictions.logits) == 5


def test_a_network_without_linear_layer_or_weights_works() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    predictions = predict(net, draw_images(5), mean=MEAN, std=STD)
    assert predictions.embeddings is None
    assert predictions.logits.shape == (5, 3)


def test_a_batch_size_below_one_is_refused(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="at least 1, and it is 0"):
        predict(model, draw_images(2), mean=MEAN, std=STD, batch_size=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 3, 8, 8), "images: are float32 of 4 dimensions; give uint8 pixels as stored, from 0 to 255"),
        (255 * torch.rand(2, 3, 8, 8).double(), "images: are float64 of 4 dimensions"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "images: are int64 of 4 dimensions"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.bool), "images: are bool of 4 dimensions"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "images: are uint8 of 3 dimensions"),
        (torch.zeros(2, 3, 0, 8, dtype=torch.uint8), r"images: have no pixels: their shape is \(2, 3, 0, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8).numpy(), "images: are a ndarray, and no tensor"),
    ],
)
def test_what_is_no_pixels_as_stored_is_refused(images: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as a user meets it
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    for call in (predict, predict_logits):
        with pytest.raises(ConfigError, match=message):
            call(network, images, mean=(0.5,) * 3, std=(0.25,) * 3)
    with pytest.raises(ConfigError, match=message):
        normalize_images(images, (0.5,) * 3, (0.25,) * 3)
