"""Decode pictures of mixed formats and sizes into one tensor of pixels, on all cores where that is faster."""

import io
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin
from torch import Tensor

from visionlib.data.cache import Pixels, build_images
from visionlib.data.dataset import Originals
from visionlib.data.png import has_orientation, whiten_transparent_value
from visionlib.errors import BrokenPicturesError, DataError
from visionlib.progress import progress_bar

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""The allowed decoders; Pillow has sixty, and each adds attack surface."""

DEFAULT_SIZE_PX = 32
LARGEST_KEPT_PX = 128
"""Images of one common size up to this side are not resized."""

_MAX_PIXELS = 64 * 2**20
_CHUNK = 256

_SMALL_PX = 64
"""Up to this side one thread decodes faster than several, which then mostly wait for the GIL: measured in
docs/experiments.md."""

GRAYSCALE_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B"})
_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it; from 5 on width and height are exchanged."""

Resize = Literal["crop", "whole"]
"""What of a picture is resized: its largest centred square, or all of it."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        name: for error messages: its path, or its file and row.
        content: its bytes, or the path of its file.
    """

    name: str
    content: bytes | Path


class _Quiet:
    """Suppress Pillow's warnings of oddities inside files; the serious ones raise an error that names the picture.

    The filters of `warnings` belong to the process. Threads that each saved and restored them would leave those of
    another thread behind: the first one to enter saves, the last one to leave restores.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._filters = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


QUIET = _Quiet()


@dataclass(frozen=True)
class Header:
    """Metadata of a picture, read without decoding it."""

    width: int
    height: int
    is_grayscale: bool
    mode: str


def decode_pictures(
    pictures: Sequence[Picture],
    *,
    image_size: int | None,
    description: str,
    describe: Callable[[], str],
    resize: Resize = "crop",
) -> tuple[UInt8[Tensor, "n c h w"], Originals, list[str]]:
    """Decode pictures of any format and mode into one tensor.

    The rule: if all have one size of at most 128 px and no `image_size` is asked for, they are not resized.
    Otherwise the largest centred square of each is resized to `image_size` (default 32) or, by `resize`, all of it,
    whose aspect ratio then changes. It is done by Lanczos, which is antialiased, from all pixels of the picture: a
    JPEG decoded at a reduced scale would be faster, and no exported network could repeat it. EXIF orientation is
    applied first, transparent pixels are laid over white, 16 bits become 8. One channel if every picture is grayscale
    by its format, else three.

    Args:
        pictures: what to decode.
        image_size: side of the result in pixels.
        description: for the progress bar.
        describe: returns a text of what the pixels depend on besides size, channels and `resize`; see `build_images`.
        resize: `crop` for the largest centred square, `whole` for all of a picture.
    Returns:
        The images, the metadata of their files, and warnings for the user.
    Raises:
        BrokenPicturesError: if pictures are damaged or of another format, or too large; the message names them.
    """
    with QUIET:
        return _decode_pictures(pictures, image_size, description, describe, resize)


def _decode_pictures(
    pictures: Sequence[Picture],
    image_size: int | None,
    description: str,
    describe: Callable[[], str],
    resize: Resize,
) -> tuple[UInt8[Tensor, "n c h w"], Originals, list[str]]:
    errors: dict[int, DataError] = {}

    def read(at: int) -> Header | None:
        with _collecting(errors, at):
            return read_header(pictures[at])
        return None

    found = _map_chunks(read, len(pictures), f"{description}: sizes", workers=1)
    headers = {at: header for at, header in enumerate(found) if header is not None}
    if not headers:
        raise BrokenPicturesError(errors)
    positions = list(headers)
    sizes = {(header.height, header.width) for header in headers.values()}
    (height, width), is_kept = choose_size(sizes, image_size)
    messages = describe_resizing(sizes, (height, width), resize)
    channels = 1 if all(header.is_grayscale for header in headers.values()) else 3

    def fill(images: Pixels) -> None:
        def decode(row: int) -> None:
            with _collecting(errors, positions[row]):
                pixels = decode_picture(pictures[positions[row]], (height, width), channels, resize)
                images[row] = pixels if channels == 1 else pixels.transpose(2, 0, 1)

        is_small = max(max(size) for size in sizes) <= _SMALL_PX
        _map_chunks(decode, len(positions), description, workers=1 if is_small else os.cpu_count())
        if errors:
            raise BrokenPicturesError(errors)

    shape = (len(positions), channels, height, width)
    # Files that were cached before there was a choice are those of `crop`.
    how_resized = "" if is_kept or resize == "crop" else f" resize={resize}"
    images = build_images(shape, fill, lambda: describe() + how_resized)
    if errors:  # of headers, and the pixels of the others were in the cache
        raise BrokenPicturesError(errors)
    originals = Originals(
        sizes=torch.tensor([(header.height, header.width) for header in headers.values()], dtype=torch.int64).view(
            -1, 2
        ),
        modes=tuple(header.mode for header in headers.values()),
    )
    return images, originals, messages


def choose_size(sizes: Set[tuple[int, int]], image_size: int | None) -> tuple[tuple[int, int], bool]:
    """Return the height and width to store, and whether pictures of these sizes are kept as they are."""
    if image_size is None and len(sizes) == 1 and max(size := next(iter(sizes))) <= LARGEST_KEPT_PX:
        return size, True
    side = image_size or DEFAULT_SIZE_PX
    return (side, side), False


def describe_resizing(sizes: Set[tuple[int, int]], stored: tuple[int, int], resize: Resize) -> list[str]:
    """Warn that pictures of these heights and widths were resized; empty if they were not."""
    if sizes == {stored}:
        return []
    smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
    how = "resized whole" if resize == "whole" else "cut to their largest centred square and resized"
    message = (
        f"images of {smallest[1]} x {smallest[0]} to {largest[1]} x {largest[0]} pixels were {how} "
        f"to {stored[1]} x {stored[0]}; --image-size chooses another size"
    )
    return [message]


@contextmanager
def _collecting(errors: dict[int, DataError], at: int) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        errors[at] = error


def _map_chunks(work: Callable[[int], Result], count: int, description: str, workers: int | None) -> list[Result]:
    """Call `work` for 0, 1, ... count - 1 in threads; Pillow releases the GIL while it decodes."""
    results: list[Result] = []
    with progress_bar(description, count, "images") as show, ThreadPoolExecutor(workers) as pool:
        chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
        try:
            for chunk in pool.map(lambda positions: [work(at) for at in positions], chunks):
                results.extend(chunk)
                show(len(results))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _open(picture: Picture) -> Image.Image:
    source = picture.content if isinstance(picture.content, Path) else io.BytesIO(picture.content)
    image = Image.open(source, formats=FORMATS)
    if image.width * image.height > _MAX_PIXELS:
        image.close()
        raise DataError(
            picture.name,
            f"has {image.width} x {image.height} pixels, above the limit of {_MAX_PIXELS:,}",
            "make it smaller, or remove it",
        )
    return image


def read_header(picture: Picture) -> Header:
    """Read the metadata of a picture; call it within `QUIET`.

    Raises:
        DataError: if it is damaged, too large, or of another format.
    """
    try:
        with _open(picture) as image:
            width, height = image.size
            mode = f"{image.mode}+transparency" if "transparency" in image.info else image.mode
            is_grayscale = image.mode in GRAYSCALE_MODES
            if _orientation(image, picture) >= 5:
                width, height = height, width
            return Header(width, height, is_grayscale, mode)
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen exception types on damaged bytes, with no common base
        raise _damaged(picture, error) from error


def decode_picture(picture: Picture, size: tuple[int, int], channels: int, resize: Resize) -> Pixels:
    """Return pixels of shape (height, width) or (height, width, 3); call it within `QUIET`.

    Raises:
        DataError: as `read_header`.
    """
    try:
        with _open(picture) as image:
            orientation = _orientation(image, picture)
            return _fit(whiten_transparent_value(image, picture.content), orientation, size, channels, resize)
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen exception types on damaged bytes, with no common base
        raise _damaged(picture, error) from error


def fit_picture(
    picture: Path | Image.Image | NDArray[Any], size: tuple[int, int], channels: int, resize: Resize = "crop"
) -> UInt8[Tensor, "c h w"]:
    """Bring one picture to the size and channels of a network's images, exactly as `decode_pictures` does.

    Args:
        picture: a file; a picture of Pillow's, turned by its EXIF orientation; or pixels as (h, w), (h, w, 1) or
            (h, w, 3).
        size: height and width in pixels.
        channels: 1 or 3.
        resize: as in `decode_pictures`.
    Raises:
        DataError: if the file is absent, damaged or of another format, the picture damaged or empty, or the array none
            of pixels.
    """
    with QUIET:
        if isinstance(picture, Path):
            # Not `Path.is_file`, which raises for a name that is too long; and a pipe would be waited for.
            if not os.path.isfile(picture):  # noqa: PTH113
                problem = "is no file" if os.path.exists(picture) else "there is no such file"  # noqa: PTH110
                raise DataError(picture, problem, "check the path")
            pixels = decode_picture(Picture(str(picture), picture), size, channels, resize)
        elif isinstance(picture, Image.Image):
            pixels = _fit_in_memory(picture, size, channels, resize)
        else:
            pixels = _fit(_from_array(picture), 1, size, channels, resize)
    return torch.from_numpy(np.array(pixels if channels == 3 else pixels[..., None]).transpose(2, 0, 1))


def _fit_in_memory(picture: Image.Image, size: tuple[int, int], channels: int, resize: Resize) -> Pixels:
    name = str(getattr(picture, "filename", "")) or "a picture in memory"
    if 0 in picture.size:
        raise DataError(name, f"has {picture.width} x {picture.height} pixels", "give one with pixels")
    try:
        return _fit(picture, _orientation_tag(picture), size, channels, resize)
    except DataError:
        raise
    except Exception as error:  # it may be a file that is decoded only now
        raise DataError(name, f"cannot be decoded ({error})", "replace it, or leave it out") from error


def _from_array(pixels: NDArray[Any]) -> Image.Image:
    shape = pixels.shape[:2] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels.shape
    if pixels.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
        problem = f"are {pixels.dtype} of shape {pixels.shape}"
        remedy = "give uint8 of shape (height, width, 3), or (height, width) for gray, with values from 0 to 255"
        raise DataError("pixels", problem, remedy)
    return Image.fromarray(pixels.reshape(shape))


def _fit(image: Image.Image, orientation: int, size: tuple[int, int], channels: int, resize: Resize) -> Pixels:
    """Flatten, turn upright, and resize what has another size."""
    height, width = size
    flat = flatten(image, "L" if channels == 1 else "RGB")
    if (transposition := _TRANSPOSITIONS.get(orientation)) is not None:
        flat = flat.transpose(transposition)
    if flat.size != (width, height) and resize == "whole":
        flat = flat.resize((width, height), Image.Resampling.LANCZOS)
    elif flat.size != (width, height):
        flat = ImageOps.fit(flat, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(flat)


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in mode L or RGB: transparency over white, 16 bits by their upper 8 bits."""
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("F", "I"):  # of 32 bits, as in TIFF: their range is not known, and fractions would be black
        name = str(getattr(image, "filename", "")) or "a picture in memory"
        kind = "floating-point numbers" if image.mode == "F" else "integers of 32 bits"
        raise DataError(name, f"is of {kind}", "scale its values to 0..255, and convert it to 8 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:  # which a palette in memory may hold itself
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image.convert(mode)


def _orientation(image: Image.Image, picture: Picture) -> int:
    """Return the EXIF orientation, from 1 to 8; 1, upright, where it is absent or makes no sense."""
    # getexif() of a PNG without EXIF decodes the whole picture.
    if isinstance(image, PngImagePlugin.PngImageFile) and not has_orientation(image, picture.content):
        return 1
    return _orientation_tag(image)


def _orientation_tag(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # metadata without sense, which raises a dozen exception types, leaves the pixels as they are
        return 1
    return value if value in _TRANSPOSITIONS else 1


def _damaged(picture: Picture, error: Exception) -> DataError:
    return DataError(picture.name, f"is no whole PNG, JPEG, WebP or BMP picture ({error})", "replace it, or remove it")
