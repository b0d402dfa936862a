"""`verify` tells right answers from wrong ones: planted errors of every kind are found, wherever they are."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionlib.summary.following import Output, follow
from visionlib.summary.receptive_fields import NOTHING, SEEN_HIGH, SEEN_LOW
from visionlib.summary.verify import compare_with_derivatives, verify

SIZE = (2, 9, 11)


class Branches(nn.Module):
    """Branches with different fields, joined to channels."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2)
        self.last = nn.Conv2d(4, 3, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.last(torch.cat([self.narrow(images), self.wide(images)], 1))
        return out


class Sampled(nn.Module):
    """A fixed grid, which has no derivative in forward mode, scales the image by 0.9; a convolution follows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        theta = torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.9, 0.0]], dtype=images.dtype).expand(len(images), -1, -1)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        out: Tensor = self.conv(F.grid_sample(images, grid, align_corners=False))
        return out


def whole_image(bounds: list[Tensor]) -> None:
    """A layer that claims to be global."""
    for bound, side in zip(bounds, SIZE[1:], strict=True):
        bound[SEEN_LOW], bound[SEEN_HIGH] = 0, side - 1


def one_line_more(bounds: list[Tensor]) -> None:
    bounds[0][SEEN_HIGH] += 1


def one_line_less(bounds: list[Tensor]) -> None:
    bounds[1][SEEN_LOW] -= 1


def axes_swapped(bounds: list[Tensor]) -> None:
    bounds[0][:], bounds[1][:] = bounds[1].clone(), bounds[0].clone()


def nothing(bounds: list[Tensor]) -> None:
    for bound in bounds:
        bound[:] = NOTHING


def one_element(bounds: list[Tensor]) -> None:
    """Wrong at a single element, in no corner and not in the middle."""
    bounds[1][SEEN_HIGH, 0, 1, 1, 2] += 1


def a_channel_less(bounds: list[Tensor]) -> None:
    """One channel of several, which the others hide where channels are merged."""
    bounds[0][SEEN_LOW, 0, 0, 2] -= 1


PLANTED = [whole_image, one_line_more, one_line_less, axes_swapped, nothing, one_element, a_channel_less]


@pytest.mark.parametrize("change", PLANTED, ids=lambda change: change.__name__)
@pytest.mark.parametrize("layer", ["", "wide", "last"])
def test_planted_errors_are_found(change: Callable[[list[Tensor]], None], layer: str) -> None:
    torch.manual_seed(0)
    model = Branches()
    log = follow(model, [SIZE])
    assert compare_with_derivatives(log, model, SIZE).mismatch is None
    call = next(call for call in log.calls if call.name == layer)
    call.output = with_changed_bounds(call.output, change)
    mismatch = compare_with_derivatives(log, model, SIZE).mismatch
    assert mismatch is not None
    assert mismatch.startswith(call.title)


@pytest.mark.parametrize("change", [whole_image, one_line_more, one_line_less], ids=lambda change: change.__name__)
def test_planted_errors_are_found_in_reverse_mode(change: Callable[[list[Tensor]], None]) -> None:
    torch.manual_seed(0)
    model = Sampled()
    log = follow(model, [SIZE])
    right = compare_with_derivatives(log, model, SIZE)
    assert right.mismatch is None
    assert right.positions < 2 * (3 * 9 * 11)  # not all elements: the other mode was taken
    log.calls[0].output = with_changed_bounds(log.calls[0].output, change)
    assert compare_with_derivatives(log, model, SIZE).mismatch is not None


def with_changed_bounds(output: Output, change: Callable[[list[Tensor]], None]) -> Output:
    assert output.fields is not None
    bounds = [bound.expand(-1, *output.shape).clone() for bound in output.fields.bounds]
    change(bounds)
    return dataclasses.replace(output, fields=dataclasses.replace(output.fields, bounds=tuple(bounds)))


def test_all_elements_of_all_layers_are_compared() -> None:
    torch.manual_seed(0)
    verification = verify(Branches(), SIZE)
    elements = 2 * 9 * 11 + 2 * 9 * 11 + 3 * 5 * 6
    assert verification.positions == elements + 3 * 5 * 6  # the outermost module has the output of its last layer
    assert str(verification) == f"verified: {elements + 90} elements of 4 layers agree with the gradient"


def test_a_mismatch_names_layer_element_and_both_spans() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(2, 1, 3, padding=1)
    log = follow(model, [SIZE])
    log.calls[0].output = with_changed_bounds(log.calls[0].output, one_line_more)
    mismatch = compare_with_derivatives(log, model, SIZE).mismatch
    assert mismatch == "Conv2d at (0, 0, 0, 0) sees 0..2 x 0..1, by the gradient 0..1 x 0..1"
