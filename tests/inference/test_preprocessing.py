"""Normalization and resizing of images, against hand-made values and double precision."""

import pytest
import torch

from visionlib.inference.preprocessing import normalize_images, prepare_inputs

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def test_every_pixel_by_hand() -> None:
    images = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
    expected = torch.tensor([-1.0, -0.6, -0.2, 1.0]).reshape(1, 1, 2, 2)
    torch.testing.assert_close(normalize_images(images, (0.5,), (0.5,)), expected)


def test_all_pixel_values_agree_with_double_precision() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(3, 16, 16).repeat(5, 1, 1, 1)
    inputs = normalize_images(images, MEAN, STD)
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, STD))
    torch.testing.assert_close(inputs.double(), (images.double() / 255 - mean) / std, rtol=0, atol=5e-7)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_images_are_not_changed_and_inputs_do_not_depend_on_the_batch() -> None:
    images = torch.randint(0, 256, (33, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    inputs = normalize_images(images, MEAN, STD)
    assert torch.equal(images, before)
    for i in range(33):
        assert torch.equal(normalize_images(images[i : i + 1], MEAN, STD), inputs[i : i + 1])
    assert torch.equal(normalize_images(images.contiguous(memory_format=torch.channels_last), MEAN, STD), inputs)
    assert normalize_images(images[:0], MEAN, STD).shape == (0, 3, 9, 7)


def test_means_and_stds_that_do_not_fit_are_errors() -> None:
    images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="3 channels need as many means and stds, not 1 and 3"):
        normalize_images(images, (0.5,), STD)
    with pytest.raises(ValueError, match=r"every std must be above 0.*0\.0"):
        normalize_images(images, MEAN, (0.2, 0.0, 0.2))


def test_half_the_side_is_the_mean_of_antialiased_neighbours() -> None:
    """A plane of constant slope keeps its values under any symmetric antialiasing; the border is left out."""
    rows = (torch.arange(32) * 8).to(torch.uint8).reshape(1, 1, 32, 1).expand(1, 1, 32, 32).contiguous()
    small = prepare_inputs(rows, (0.0,), (1.0,), 16)
    expected = (torch.arange(16) * 16 + 4) / 255
    assert small.shape == (1, 1, 16, 16)
    assert torch.allclose(small[0, 0, 1:-1, 5], expected[1:-1], atol=1e-6)


def test_images_that_are_not_square_keep_their_proportion() -> None:
    images = torch.zeros(2, 3, 32, 64, dtype=torch.uint8)
    assert prepare_inputs(images, (0.5,) * 3, (0.5,) * 3, 16).shape == (2, 3, 16, 32)
    assert prepare_inputs(images, (0.5,) * 3, (0.5,) * 3, 32).shape == (2, 3, 32, 64)
