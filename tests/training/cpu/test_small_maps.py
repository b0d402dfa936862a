"""Convolutions of small maps as one matrix product equal torch's."""

import itertools

import pytest
import torch
from torch import nn

from tests.training.cpu.test_im2col import seeded
from visionlib.training.cpu.small_maps import convolve_small_map


@pytest.mark.parametrize("size", list(itertools.product((1, 2), (1, 2))))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_equal_torchs(size: tuple[int, int], layout: torch.memory_format) -> None:
    results = []
    for convolve in (convolve_small_map, lambda x, w: nn.functional.conv2d(x, w, padding=1)):
        inputs = seeded(3, 5, *size).to(memory_format=layout).requires_grad_()
        filters = seeded(7, 5, 3, 3).to(memory_format=layout).requires_grad_()
        outputs = convolve(inputs, filters)
        gradients = torch.autograd.grad((outputs * seeded(3, 7, *size)).sum(), (inputs, filters))
        results.append((outputs.detach(), *gradients))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
