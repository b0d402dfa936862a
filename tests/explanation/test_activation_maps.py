"""Class activation maps are what their papers say: by hand, against loops, and against torchcam."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Tiny
from visionlib.explanation import METHODS, make_map_maker
from visionlib.explanation.activation_maps import (
    divide_by_peak,
    fuse_maps,
    grad_cam,
    grad_cam_plus_plus,
    hi_res_cam,
    layer_cam,
    score_cam,
    smooth_cells,
)
from visionlib.explanation.gradients import LayerGradients
from visionlib.models import build_model

# Two channels of 1 x 2 places.
ACTIVATIONS = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
GRADIENTS = torch.tensor([[[[2.0, -1.0]], [[1.0, 1.0]]]])
TRACED = LayerGradients(ACTIVATIONS, GRADIENTS)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Mean gradients are 0.5 and 1.
        (grad_cam, [0.5 * 1 + 1 * 3, 0.5 * 2 + 0]),
        (layer_cam, [2 * 1 + 1 * 3, 0 + 0]),
        (hi_res_cam, [2 * 1 + 1 * 3, 0]),  # the second is -2 + 0, below zero
        # Sums of activations are 3 and 3. Channel 1: alphas 4 / (8 + 3 * 8) and 1 / (2 + 3 * -1), which counts for
        # nothing since its gradient is below zero; weight 4 / 32 * 2. Channel 2: 1 / (2 + 3), twice; weight 2 / 5.
        (grad_cam_plus_plus, [0.25 * 1 + 0.4 * 3, 0.25 * 2]),
    ],
)
def test_by_hand(method: Callable[[LayerGradients], Tensor], expected: list[float]) -> None:
    assert method(TRACED).tolist() == [[pytest.approx(expected)]]


def slow_map(method: str, activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """One image, place by place."""
    channels, rows, columns = activations.shape
    found = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            total = 0.0
            for k in range(channels):
                here, slope = activations[k, row, column], gradients[k, row, column]
                if method == "grad-cam":
                    total += gradients[k].mean() * here
                elif method == "layercam":
                    total += max(slope, 0) * here
                elif method == "hirescam":
                    total += slope * here
                else:
                    weight = 0.0
                    for g in gradients[k].flatten():
                        below = 2 * g**2 + activations[k].sum() * g**3
                        weight += (g**2 / below if abs(below) > 1e-12 else 0.0) * max(g, 0)
                    total += weight * here
            found[row, column] = max(total, 0.0)
    return found


@pytest.mark.parametrize("method", ["grad-cam", "layercam", "hirescam", "grad-cam++"])
@pytest.mark.parametrize("is_inplace", [False, True])
def test_of_a_network_against_slow_loops(method: str, is_inplace: bool) -> None:
    model = Tiny(is_inplace=is_inplace).eval()
    inputs, classes = torch.randn(5, 3, 12, 12), torch.tensor([0, 1, 2, 2, 1])
    maker = make_map_maker(method, model, (3, 12, 12), layers=["conv1"])
    found = maker(model, inputs, classes)
    assert found.shape == (5, 6, 6)
    for at in range(5):
        # Independently: the layer's output as a leaf, and the rest of the network by itself.
        output = model.conv1(inputs[at : at + 1]).detach().clone().requires_grad_()
        features = model.conv2(output.relu()).relu()
        model.linear(features.mean((2, 3)))[0, classes[at]].backward()
        assert output.grad is not None
        expected = slow_map(method, output.detach()[0].numpy(), output.grad[0].numpy())
        assert found[at].numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    model.zero_grad()


@pytest.mark.parametrize(
    ("method", "theirs"), [("grad-cam", "GradCAM"), ("layercam", "LayerCAM"), ("score-cam", "ScoreCAM")]
)
@pytest.mark.parametrize("layers", [["layer2"], ["layer3"]])
def test_of_a_resnet_against_torchcam(method: str, theirs: str, layers: list[str]) -> None:
    methods = pytest.importorskip("torchcam.methods")
    model = build_model("resnet20").eval()
    inputs, classes = torch.randn(3, 3, 16, 16), [1, 7, 4]
    with getattr(methods, theirs)(model, layers[0], input_shape=(3, 16, 16)) as extractor:
        (expected,) = extractor(classes, model(inputs), normalized=False)
    found = make_map_maker(method, model, (3, 16, 16), layers=layers)(model, inputs, torch.tensor(classes))
    assert found == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-6)


def test_score_cam_by_a_slow_loop() -> None:
    model = Tiny().eval()
    inputs, classes = torch.randn(2, 3, 8, 8), torch.tensor([2, 0])
    activations = torch.rand(2, 4, 2, 2)
    activations[1, 3] = 0.7  # without differences it shows nothing
    with torch.no_grad():
        found = score_cam(model, inputs, classes, activations, batch_size=3)
        for at in range(2):
            logits = []
            for channel in activations[at]:
                low, high = channel.min(), channel.max()
                mask = (channel - low) / (high - low) if high > low else torch.zeros_like(channel)
                large = nn.functional.interpolate(mask[None, None], (8, 8), mode="bilinear", align_corners=False)
                logits.append(model(large * inputs[at : at + 1])[0, classes[at]])
            weights = torch.stack(logits).softmax(0)
            expected = (weights[:, None, None] * activations[at]).sum(0).clamp(min=0)
            assert found[at].numpy() == pytest.approx(expected.numpy(), rel=1e-4)


def test_fused_maps_repeat_the_coarse_and_forget_how_loud_a_layer_is() -> None:
    fine = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
    coarse = torch.tensor([[[10.0]]])
    fused = fuse_maps([fine, coarse])
    assert fused.shape == (1, 2, 2)
    assert torch.equal(fused, fuse_maps([1000 * fine, coarse]))
    # Along each axis a cell of two weighs 3/4 and the other 1/4: 10/16 of 4 on the diagonal, 6/16 beside it.
    assert fused[0].numpy() == pytest.approx(np.array([[1.0, 0.6], [0.6, 1.0]]))
    both = fuse_maps([fine, torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])])
    # The second is 9/16, 3/16, 3/16 and 1/16 when smoothed.
    assert both[0].numpy() == pytest.approx(np.array([[1.0, 0.6 / 3], [0.6 / 3, 1 / 9]]))


def test_a_layer_without_evidence_is_left_out_of_a_fused_map() -> None:
    spot = torch.zeros(2, 4, 4)
    spot[0, 1, 1] = 1
    fused = fuse_maps([spot, torch.zeros(2, 2, 2)])
    assert torch.equal(fused, divide_by_peak(smooth_cells(spot)))
    assert bool((fused[1] == 0).all())


def test_smoothing_takes_away_what_changes_from_cell_to_cell_and_keeps_the_rest() -> None:
    even = torch.full((1, 8, 8), 3.0)
    checkers = ((torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2 - 1).float()[None]
    stripes = (torch.arange(8) % 2 * 2 - 1).float().expand(1, 8, 8)
    for pattern in (checkers, stripes):
        assert smooth_cells(even + pattern)[:, 1:-1, 1:-1].numpy() == pytest.approx(even[:, 1:-1, 1:-1].numpy())
    assert torch.equal(smooth_cells(even), even)
    spot = torch.zeros(1, 5, 5)
    spot[0, 2, 2] = 16
    assert smooth_cells(spot)[0, 1:4, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_a_map_without_evidence_stays_zero() -> None:
    maps = torch.stack([torch.zeros(2, 2), torch.tensor([[0.0, 1e-38], [0.0, 2e-38]]), torch.ones(2, 2)])
    scaled = divide_by_peak(maps)
    assert scaled[0].tolist() == [[0, 0], [0, 0]]
    assert scaled[1].flatten().tolist() == pytest.approx([0, 0.5, 0, 1])
    assert bool(scaled.isfinite().all())


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_1_2_and_5_gives_the_same_maps(method: str) -> None:
    model = build_model("resnet20", classes=4, channels=1).eval()
    inputs, classes = torch.randn(5, 1, 8, 8), torch.arange(5) % 4
    maker = make_map_maker(method, model, (1, 8, 8))
    whole = maker(model, inputs, classes)
    assert bool((whole >= 0).all())
    for size in (1, 2):
        parts = [
            maker(model, *part) for part in zip(torch.split(inputs, size), torch.split(classes, size), strict=True)
        ]
        assert torch.cat(parts).numpy() == pytest.approx(whole.numpy(), rel=1e-3, abs=1e-6)


def test_bf16_gives_nearly_the_same_maps() -> None:
    model = build_model("resnet20").eval()
    inputs, classes = torch.randn(8, 3, 32, 32), torch.arange(8)
    exact, rough = (
        divide_by_peak(make_map_maker("layercam", model, (3, 32, 32), precision=precision)(model, inputs, classes))
        for precision in ("fp32", "bf16")
    )
    assert (exact - rough).abs().mean() < 0.03
