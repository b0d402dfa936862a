"""Datasets from arrays in memory, which become what the same pictures would be from files."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from visionlib.data.array_labels import Values, number_labels
from visionlib.data.cache import Pixels
from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.data.decode import GRAYSCALE_MODES, flatten
from visionlib.errors import ConfigError, DataError

_CHUNK = 1024
"""Images converted at a time: as float64 they take eight times their size."""
_REMEDY_NORMALIZED = "normalized already? pass the pixels: training normalizes them itself"
_REMEDY_16_BITS = "of 16 bits? reduce them to 8: images // 257 for values up to 65535"


def read_arrays(
    train_images: object,
    train_labels: object,
    test_images: object = None,
    test_labels: object = None,
    *,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    channels_last: bool | None = None,
) -> Dataset:
    """Make a dataset of arrays, without holding anything out; see `Dataset.from_arrays`."""
    if (test_images is None) != (test_labels is None):
        raise ConfigError("test_images, test_labels", "one is given without the other", "give both, or none")
    given = {"train": (train_images, train_labels)}
    if test_images is not None:
        given["test"] = (test_images, test_labels)
    images = _read_images({f"{split}_images": part for split, (part, _) in given.items()}, channels_last)
    labels, names = number_labels({f"{split}_labels": part for split, (_, part) in given.items()}, classes)
    splits = {}
    for split, pixels, numbers in zip(given, images, labels, strict=True):
        if len(pixels) != len(numbers):
            raise DataError(
                f"{split}_images", f"are {len(pixels):,} with {len(numbers):,} labels", "pass one label per image"
            )
        splits[split] = ImageSplit(pixels, numbers, names, torch.arange(len(pixels)))
    shapes = {tuple(split.images.shape[1:]) for split in splits.values()}
    if len(shapes) > 1:
        shown = " and ".join(map(str, shapes))
        raise DataError("test_images", f"differ from train_images in channels, height or width: {shown}", "make alike")
    return Dataset(name, splits, names)


def _read_images(parts: dict[str, object], channels_last: bool | None) -> list[UInt8[Tensor, "_ c h w"]]:
    arrays = {where: _as_array(where, images) for where, images in parts.items()}
    placed = {where: _place_channels(where, array, channels_last) for where, array in arrays.items()}
    floats = [array for array in placed.values() if array.dtype.kind == "f"]
    # One rule for all: dark test images below 1 do not make those of training fractions.
    is_fraction = all(array.max() <= 1 for array in floats)
    return [torch.from_numpy(_as_pixels(where, array, is_fraction)) for where, array in placed.items()]


def _as_array(where: str, images: object) -> Values:
    """Return images in memory as one array of any numeric type."""
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        return np.asarray(images.float() if images.dtype == torch.bfloat16 else images)
    if isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.dtype.kind == "O"):
        items = list(images)
        pictures = [item for item in items if isinstance(item, Image.Image)]
        if pictures and len(pictures) < len(items):
            raise DataError(where, "mix Pillow images and others", "make them alike")
        if pictures:
            return _stack(where, _flatten_pictures(pictures))
        return _stack(
            where, [_as_array(where, i) if isinstance(i, Tensor | list | tuple) else np.asarray(i) for i in items]
        )
    return np.asarray(images)


def _flatten_pictures(pictures: list[Image.Image]) -> list[Values]:
    """Return pixels as a decoded file has them: upright, transparency over white, gray if all are."""
    mode = "L" if all(picture.mode in GRAYSCALE_MODES for picture in pictures) else "RGB"
    upright = [ImageOps.exif_transpose(picture) for picture in pictures]
    return [np.asarray(flatten(picture, mode)) for picture in upright]


def _stack(where: str, items: list[Values]) -> Values:
    shapes = sorted({item.shape for item in items})
    if len(shapes) > 1:
        shown = ", ".join(map(str, shapes[:3]))
        raise DataError(where, f"differ in size: {shown}", "resize them to one, or load them from a folder, which does")
    return np.stack(items) if items else np.zeros(0)


def _place_channels(where: str, array: Values, channels_last: bool | None) -> Values:
    """Return a view of shape n, c, h, w, or say which shapes are read."""
    shape = array.shape
    if array.dtype.kind not in "biuf" and array.size:
        raise DataError(where, f"are of type {array.dtype}", "pass numbers: uint8 from 0 to 255, or floats from 0 to 1")
    if not array.size:
        raise DataError(where, f"hold no pixel: their shape is {shape}", "pass at least one image")
    if len(shape) == 3:
        return array[:, None]
    if len(shape) != 4:
        raise DataError(where, f"have the shape {shape}", "pass (n, h, w), (n, c, h, w) or (n, h, w, c)")
    is_first, is_last = shape[1] in (1, 3), shape[3] in (1, 3)
    if is_first and is_last and channels_last is None:
        raise DataError(
            where,
            f"have the shape {shape}, whose channels may be first or last",
            "say which with channels_last=True or channels_last=False",
        )
    is_last = is_last and not is_first if channels_last is None else channels_last
    channels = shape[3] if is_last else shape[1]
    if channels in (1, 3):
        return array.transpose(0, 3, 1, 2) if is_last else array
    if channels == 4 or (channels_last is None and shape[3] == 4):
        raise DataError(
            where,
            f"have the shape {shape}, with four channels: the fourth, alpha, has no colour of its own",
            "composite it over a background, or leave it out: images[..., :3] or images[:, :3]",
        )
    raise DataError(
        where, f"have the shape {shape}, without one or three channels", "pass (n, c, h, w) or (n, h, w, c)"
    )


def _as_pixels(where: str, array: Values, is_fraction: bool) -> Pixels:
    """Return a contiguous copy as uint8, or say why the values are no pixels."""
    kind = array.dtype.kind
    low, high = array.min(), array.max()
    if kind == "f" and not (np.isfinite(low) and np.isfinite(high)):  # NaN is passed on by both
        raise DataError(where, "hold NaN or infinity", "pass pixels: 0 to 255, or fractions from 0 to 1")
    if low < 0 or high > 255:
        problem = f"hold values from {low:g} to {high:g}, which are no pixels from 0 to 255 or fractions from 0 to 1"
        raise DataError(where, problem, _REMEDY_16_BITS if low >= 0 and kind in "iu" else _REMEDY_NORMALIZED)
    if kind == "b" or (kind == "f" and is_fraction):
        return _convert(array, factor=255)
    if kind == "f" and any((array[at : at + _CHUNK] % 1).any() for at in range(0, len(array), _CHUNK)):
        raise DataError(
            where,
            f"hold fractions and values above 1, up to {high:g}" if high > 1 else "hold fractions, and others exceed 1",
            "pass whole numbers from 0 to 255 or fractions from 0 to 1: images.round(), or images / 255",
        )
    return _convert(array, factor=1)


def _convert(array: Values, factor: int) -> Pixels:
    pixels = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), _CHUNK):
        chunk = array[start : start + _CHUNK]
        pixels[start : start + _CHUNK] = chunk if factor == 1 else np.round(chunk.astype(np.float64) * factor)
    return pixels
