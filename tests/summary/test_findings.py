"""The findings are true: by hand, and by running the networks that they are about."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.networks import SMALL, Residual, Wired
from visionlib.models import MODELS, build_model
from visionlib.summary import ModelSummary, summarize


def findings_with(summary: ModelSummary, word: str) -> list[str]:
    return [sentence for sentence in summary.findings if word in sentence]


def test_the_first_layer_that_sees_the_whole_image() -> None:
    model = nn.Sequential(*(nn.Conv2d(3 if number == 0 else 4, 4, 3, padding=1) for number in range(6)))
    # All five pixels are seen from their middle after two convolutions, and from their corners after four.
    assert summarize(model, (3, 5, 5)).findings[:2] == (
        "1 (Conv2d) is the first layer with a position that sees the whole image",
        "at 3 (Conv2d) every position sees the whole image: later layers add depth, but no receptive field",
    )


def test_a_network_that_never_sees_the_whole_image_says_how_much() -> None:
    (sentence,) = findings_with(summarize(nn.Conv2d(3, 4, 5), (3, 10, 10)), "whole image;")
    assert sentence == "no layer sees the whole image; Conv2d sees 25% of it"


def test_half_of_resnet18_adds_no_receptive_field_at_16_pixels() -> None:
    at_16, at_224 = (
        findings_with(summarize(build_model("resnet18"), (3, side, side)), "add depth") for side in (16, 224)
    )
    assert "at layer3.0.conv2" in at_16[0]
    assert at_224 == []


def averaged_shortcut() -> nn.Module:
    return Residual(nn.Conv2d(3, 3, 3, stride=2, padding=1), nn.AvgPool2d(2))


def test_misaligned_branches_are_reported_with_their_distance() -> None:
    # 3 x 3 around pixel 0 has its middle there; 2 x 2 from pixel 0 on, half a pixel further.
    summary = summarize(averaged_shortcut(), (3, 16, 16))
    assert findings_with(summary, "joins") == ["Residual joins branches that lie 0.5 x 0.5 pixels apart"]
    assert summary.layers[0].notes == ("joins branches that lie 0.5 x 0.5 pixels apart",)


@pytest.mark.parametrize("join", ["add", "multiply", "concatenate"])
def test_every_kind_of_join_is_watched(join: str) -> None:
    def wire(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        p, q = a(x), b(x)[:, :, :, :-3]
        joined: Tensor = p + q if join == "add" else p * q if join == "multiply" else torch.cat([p, q], dim=1)
        return joined

    model = Wired(wire, a=nn.Conv2d(3, 3, (1, 3), padding=(0, 1)), b=nn.Conv2d(3, 3, (1, 4), padding=(0, 3)))
    assert findings_with(summarize(model, (3, 8, 8)), "joins") == ["Wired joins branches that lie 0 x 1.5 pixels apart"]


def test_the_distance_counts_pixels_of_the_image_and_not_positions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1, stride=4), averaged_shortcut())
    assert findings_with(summarize(model, (3, 32, 32)), "joins") == [
        "1 (Residual) joins branches that lie 2 x 2 pixels apart"
    ]


def test_branches_with_different_jumps_are_reported() -> None:
    def wire(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
        joined: Tensor = a(x)[:, :, :4, :4] + b(x)
        return joined

    model = Wired(wire, a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1, stride=2))
    (sentence,) = findings_with(summarize(model, (3, 8, 8)), "joins")
    assert sentence == "Wired joins branches with jumps of 1 x 1 and 2 x 2 pixels"


@pytest.mark.parametrize("name", ["resnet9", "resnet18", "resnet20", "resnet50"])
def test_the_branches_of_residual_networks_lie_above_each_other(name: str) -> None:
    assert name in MODELS
    assert findings_with(summarize(build_model(name), (3, 32, 32)), "joins") == []


@pytest.mark.parametrize("name", ["unet_transposed", "unet_nearest", "unet_bilinear", "unet_unpadded"])
def test_the_phases_of_an_up_sampling_path_count_together(name: str) -> None:
    build, input_size, _ = SMALL[name]
    assert findings_with(summarize(build(), input_size), "joins") == []


def dilated(*dilations: int) -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, dilation=dilation) for dilation in dilations))


def test_gridding_is_the_fraction_of_lines_within_the_field() -> None:
    # Three convolutions that look two pixels aside reach six pixels to both sides, and only every second.
    summary = summarize(dilated(2, 2, 2), (1, 31, 31))
    assert summary.layers[0].receptive_field == (13, 13)
    assert summary.layers[0].lines == (7 / 13, 7 / 13)
    (sentence,) = findings_with(summary, "gridding")
    assert "sees only 54% of the lines" in sentence


def test_a_stack_that_doubles_its_dilation_leaves_no_line_out() -> None:
    summary = summarize(dilated(1, 2, 4), (1, 31, 31))
    assert summary.layers[0].receptive_field == (15, 15)
    assert summary.layers[0].lines == (1.0, 1.0)
    assert findings_with(summary, "gridding") == []


def tiled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(4, 2, 3, padding=1),
    ).double()


def test_tiles_that_overlap_as_reported_give_the_output_of_the_whole_image() -> None:
    torch.manual_seed(0)
    model, image = tiled(), torch.rand(1, 1, 64, 64, dtype=torch.float64)
    summary = summarize(model, (1, 64, 64))
    last = summary.layers[0]
    assert last.receptive_field is not None
    overlap = last.receptive_field[0] - 1
    (sentence,) = findings_with(summary, "tiles")
    assert sentence.startswith(f"tiles that overlap by {overlap} pixels or more and begin at multiples of 2 pixels")
    with torch.no_grad():
        output = model(image)
        first, size = 16, 32
        part = model(image[:, :, first : first + size, first : first + size])
    margin = overlap - overlap // 2
    expected = output[:, :, first + margin : first + size - margin, first + margin : first + size - margin]
    inner = part[:, :, margin : size - margin, margin : size - margin]
    torch.testing.assert_close(inner, expected)
    assert not torch.allclose(part, output[:, :, first : first + size, first : first + size])


def test_tiles_that_begin_elsewhere_do_not() -> None:
    torch.manual_seed(0)
    model, image = tiled(), torch.rand(1, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        output, part = model(image), model(image[:, :, 17:49, 17:49])
    assert not torch.allclose(part[:, :, 14:18, 14:18], output[:, :, 31:35, 31:35])


def test_there_is_no_tiling_where_everything_sees_the_whole_image() -> None:
    assert findings_with(summarize(build_model("resnet18"), (3, 32, 32)), "tiles") == []


@pytest.mark.parametrize(
    "layer", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False)]
)
def test_a_normalization_over_positions_is_reported_and_counted_elementwise(layer: nn.Module) -> None:
    summary = summarize(nn.Sequential(nn.Conv2d(3, 4, 3), layer), (3, 9, 9))
    (sentence,) = findings_with(summary, "normalizes")
    assert sentence.startswith(f"1 ({type(layer).__name__}) normalizes by its own input's mean")
    assert summary.layers[2].receptive_field == (3, 3)
    assert not summary.layers[2].is_global


def test_a_normalization_by_running_statistics_or_over_channels_is_not_reported() -> None:
    class OverChannels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.layer_norm(x.movedim(1, -1), [4]).movedim(-1, 1)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), OverChannels())
    assert findings_with(summarize(model, (3, 9, 9)), "normalizes") == []


def test_an_input_without_height_and_width_is_reported() -> None:
    assert summarize(nn.Linear(8, 4), (8,)).findings == (
        "no receptive field was computed: the input has no height and width, or no output depends on it",
    )


def test_a_jump_below_one_is_a_fraction() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Upsample(scale_factor=2))
    assert summarize(model, (3, 8, 8)).layers[-1].jump == (Fraction(1, 2), Fraction(1, 2))
