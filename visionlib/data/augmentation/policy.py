"""One random operation for each image: TrivialAugment."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.augmentation.affine import inverse_matrices, resample_images
from visionlib.data.augmentation.colour import change_colours
from visionlib.data.augmentation.tones import (
    equalize_images,
    posterize_images,
    sharpen_images,
    solarize_images,
    stretch_contrast,
)
from visionlib.data.random import Epoch, Stream, random_integers, random_uniform

_CHUNK = 1024
"""Images changed at a time: in float they take four times their size."""


def augment_trivially(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], *, seed: int, epoch: Epoch, strength: float = 1.0
) -> UInt8[Tensor, "n c h w"]:
    """Change each image by one operation of `OPERATIONS`, all equally likely, by a uniformly drawn amount.

    Args:
        images: pixels, of one or three channels; not modified.
        index: stable id of each image.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        strength: factor of all amounts, from 0 to 1. Two operations have no amount: autocontrast and equalize.
    Raises:
        ValueError: if strength is not from 0 to 1.
    Source: Müller and Hutter 2021, arXiv:2103.10158, with its wide ranges, but amounts that are continuous, and
        geometry about the centre of the image, interpolated bilinearly.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be from 0 to 1: got {strength}")
    chosen = random_integers(seed, epoch, index, Stream.POLICY_OPERATION, len(OPERATIONS))
    amounts = strength * (2 * random_uniform(seed, epoch, index, Stream.POLICY_AMOUNT) - 1)
    counts = torch.bincount(chosen, minlength=len(OPERATIONS)).tolist()  # the only time that a GPU is waited for
    groups = torch.split(chosen.argsort(stable=True), counts)
    result = torch.empty_like(images)
    for change, group in zip(OPERATIONS.values(), groups, strict=True):
        for at in torch.split(group, _CHUNK) if len(group) else ():
            result[at] = change(images[at], amounts[at])
    return result


def _rotate(images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """Up to 135 degrees either way."""
    none = torch.zeros_like(amounts)
    angles = math.radians(135) * amounts
    return resample_images(images, inverse_matrices(angles, none + 1, none, none, *images.shape[2:]))


def _shear(
    images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"], *, is_along_rows: bool
) -> UInt8[Tensor, "n c h w"]:
    """Shift each row along itself, or each column, by up to 0.99 of its distance from the centre."""
    height, width = images.shape[2:]
    row, column, aspect = (0, 1, height / width) if is_along_rows else (1, 0, width / height)
    return resample_images(images, _matrices(row, column, -0.99 * aspect * amounts))


def _translate(
    images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"], *, is_along_rows: bool
) -> UInt8[Tensor, "n c h w"]:
    """To the right or down, by up to the whole side either way; that is 32 px for the images of the paper."""
    return resample_images(images, _matrices(0 if is_along_rows else 1, 2, -2 * amounts))


def _matrices(row: int, column: int, values: Float32[Tensor, "n"]) -> Float32[Tensor, "n 2 3"]:
    """Return identities with one entry replaced: matrices for `resample_images`."""
    matrices = torch.eye(2, 3, device=values.device).repeat(len(values), 1, 1)
    matrices[:, row, column] = values
    return matrices


def _recolour(images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"], *, which: int) -> Tensor:
    """Brightness, contrast or saturation by factors from 0.01 to 1.99."""
    factors = [torch.ones_like(amounts)] * 3
    factors[which] = 1 + 0.99 * amounts
    columns = [factor[:, None, None, None] for factor in (*factors, torch.zeros_like(amounts))]
    return change_colours(images, *columns)


def _posterize(images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """Down to 2 bits."""
    return posterize_images(images, 8 - (6 * amounts.abs()).round().to(torch.int64))


def _solarize(images: UInt8[Tensor, "n c h w"], amounts: Float32[Tensor, "n"]) -> UInt8[Tensor, "n c h w"]:
    """From all values on."""
    return solarize_images(images, (256 * (1 - amounts.abs())).round().to(torch.int64))


OPERATIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "identity": lambda images, amounts: images,
        "autocontrast": lambda images, amounts: stretch_contrast(images),
        "equalize": lambda images, amounts: equalize_images(images),
        "rotate": _rotate,
        "solarize": _solarize,
        "saturation": partial(_recolour, which=2),
        "posterize": _posterize,
        "contrast": partial(_recolour, which=1),
        "brightness": partial(_recolour, which=0),
        "sharpness": lambda images, amounts: sharpen_images(images, 1 + 0.99 * amounts),
        "shear along rows": partial(_shear, is_along_rows=True),
        "shear along columns": partial(_shear, is_along_rows=False),
        "translate along rows": partial(_translate, is_along_rows=True),
        "translate along columns": partial(_translate, is_along_rows=False),
    }
)
"""Each takes images and an amount per image, from -1 to 1."""
