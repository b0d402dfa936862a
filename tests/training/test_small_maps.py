"""Convolutions of small maps as one product: the same figures."""

import itertools

import pytest
import torch
from torch import nn

from tests.training.test_patch_products import seeded
from visionlib.training.cpu.small_maps import convolve_small_map


@pytest.mark.parametrize("size", list(itertools.product((1, 2), (1, 2))))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_figures_and_gradients_are_those_of_the_convolution(size: tuple[int, int], layout: torch.memory_format) -> None:
    found = []
    for convolve in (convolve_small_map, lambda x, w: nn.functional.conv2d(x, w, padding=1)):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, 3, 3).to(memory_format=layout).requires_grad_()
        outputs = convolve(inputs, filters)
        gradients = torch.autograd.grad((outputs * seeded(3, 7, *size)).sum(), (inputs, filters))
        found.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
