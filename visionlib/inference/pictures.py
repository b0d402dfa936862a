"""Predict pictures as people have them: files, folders, Pillow's images and arrays, of any size.

Decoding, orientation and resizing are those of the training (`visionlib.data.decode`). Threads decode a batch of files,
for a GPU a few batches ahead. On a CPU they decode between the batches: beside the network they would take cores from
its threads, which wait for each other. Memory does not grow with the number of files.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from visionlib.data.decode import fit_picture
from visionlib.data.folder_layout import SUFFIXES, find_unreadable, walk_files
from visionlib.errors import ConfigError, DataError
from visionlib.inference.folding import folded_network

if TYPE_CHECKING:
    from visionlib.inference.prediction import Predictions
    from visionlib.inference.trained_model import TrainedModel

PictureSource = str | os.PathLike[str] | Image.Image | NDArray[Any]
"""A file, or a folder that is searched at any depth; a picture of Pillow's; pixels of one picture, or of several."""
_AHEAD = 2
"""Batches that are decoded before a GPU needs them."""


@dataclass(frozen=True)
class PicturePrediction:
    """The answer for one file.

    Attributes:
        file: its path, as given or found.
        top: the likeliest classes with their probabilities, the likeliest first; empty if it could not be read.
        is_unusual: whether it is unlike anything in training; None where that cannot be told.
        error: why it could not be read, or None.
        image: its pixels as the network's images have them, or None.
    """

    file: str
    top: tuple[tuple[str, float], ...]
    is_unusual: bool | None = None
    error: DataError | None = None
    image: UInt8[Tensor, "c h w"] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the file with its classes, or with its error, as plain types for JSON."""
        if self.error is not None:
            return {"file": self.file, "error": str(self.error)}
        classes = [{"class": name, "probability": probability} for name, probability in self.top]
        return {"file": self.file, "top": classes, "unusual": self.is_unusual}


@dataclass(frozen=True, eq=False)
class FileBatch:
    """Files that were read and predicted together.

    Attributes:
        files: their paths, as given or found.
        decoded: for each the pixels as the network's images have them, or why it could not be read.
        predictions: of those that could be read, in their order; None if there are none.
    """

    files: tuple[str, ...]
    decoded: tuple[UInt8[Tensor, "c h w"] | DataError, ...]
    predictions: "Predictions | None"


def list_files(sources: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """List files in the given order; of a folder the pictures at any depth, by name.

    Raises:
        DataError: if a folder holds no picture.
    """
    for source in map(Path, sources):
        yield from _list_pictures(source)


def _list_pictures(source: Path) -> Sequence[Path]:
    if not os.path.isdir(source):  # noqa: PTH112 (`Path.is_dir` raises for a name that is too long)
        return [source]
    try:
        pictures = [path for path in walk_files(source) if path.suffix.lower() in SUFFIXES]
        found = sorted([*pictures, *find_unreadable(source)])  # each of these gets its error
    except OSError as error:
        raise DataError(source, f"cannot be read ({error.strerror})", "give yourself the right to read it") from error
    if not found:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DataError(source, "holds no pictures", f"name a folder with {suffixes}", is_usage=True)
    return found


def _find_files(sources: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[Path, DataError | None]]:
    """List files as `list_files` does; a folder without pictures comes with its error, and the others go on."""
    for source in map(Path, sources):
        try:
            found = _list_pictures(source)
        except DataError as error:
            yield source, error
        else:
            yield from zip(found, itertools.repeat(None))


def classify_files(
    model: "TrainedModel",
    sources: Iterable[str | os.PathLike[str]],
    *,
    k: int = 5,
    batch_size: int = 250,
    has_images: bool = False,
) -> Iterator[PicturePrediction]:
    """Yield the answer for each file, in the order of the sources; one that cannot be read has an error instead.

    So has a folder without pictures.

    Args:
        model: with classes and image size.
        sources: files, and folders as in `list_files`; they are asked for as they are needed.
        k: classes of each file.
        batch_size: files per forward pass.
        has_images: keep the pixels of each file.
    Raises:
        ConfigError: if the model's image size is not known.
    """
    for batch in predict_files(model, sources, batch_size=batch_size):
        yield from _answer(batch, k, has_images=has_images)


def predict_files(
    model: "TrainedModel", sources: Iterable[str | os.PathLike[str]], *, batch_size: int = 250
) -> Iterator[FileBatch]:
    """Yield files with their predictions, batch by batch; arguments and errors are those of `classify_files`."""
    size = find_image_size(model)
    ahead = 0 if model.device.type == "cpu" else _AHEAD
    with ThreadPoolExecutor(os.cpu_count()) as pool, folded_network(model.network, model.precision) as network:
        folded = replace(model, network=network)  # once, and not for every batch

        def decode(path: Path, error: DataError | None) -> "Future[Tensor] | DataError":
            return error or pool.submit(fit_picture, path, size, model.channels, model.resize)

        try:
            for chunk, decoded in _decode_batches(_find_files(sources), decode, batch_size, ahead):
                images = [image for image in decoded if isinstance(image, Tensor)]
                predictions = folded.predict(torch.stack(images)) if images else None
                yield FileBatch(tuple(map(str, chunk)), tuple(decoded), predictions)
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_batches(
    files: Iterator[tuple[Path, DataError | None]],
    decode: "Callable[[Path, DataError | None], Future[Tensor] | DataError]",
    batch_size: int,
    ahead: int,
) -> Iterator[tuple[list[Path], list[Tensor | DataError]]]:
    """Yield batches of decoded files, while the threads decode that many more."""
    waiting: deque[tuple[list[Path], list[Future[Tensor] | DataError]]] = deque()
    while True:
        while len(waiting) <= ahead and (chunk := list(itertools.islice(files, batch_size))):
            waiting.append(([path for path, _ in chunk], [decode(path, error) for path, error in chunk]))
        if not waiting:
            return
        paths, decoding = waiting.popleft()
        yield paths, [_result(one) for one in decoding]


def _result(decoding: "Future[Tensor] | DataError") -> Tensor | DataError:
    try:
        return decoding if isinstance(decoding, DataError) else decoding.result()
    except DataError as error:
        return error


def _answer(batch: FileBatch, k: int, *, has_images: bool) -> Iterator[PicturePrediction]:
    answers: Iterator[tuple[Any, bool | None]] = iter([])
    if batch.predictions is not None:
        top = batch.predictions.top(k)
        answers = zip(top, batch.predictions.is_unusual or [None] * len(top), strict=True)
    for file, image in zip(batch.files, batch.decoded, strict=True):
        if isinstance(image, DataError):
            yield PicturePrediction(file, (), error=image)
        else:
            classes, is_unusual = next(answers)
            yield PicturePrediction(file, classes, is_unusual, image=image if has_images else None)


def read_images(model: "TrainedModel", pictures: object) -> UInt8[Tensor, "n c h w"]:
    """Bring pictures of any kind to the model's images: one of `PictureSource`, or several.

    Raises:
        ConfigError: if the model's image size is not known, there are no pictures, or something is none.
        DataError: if a picture cannot be read, or an array is none of pixels.
    """
    size = find_image_size(model)
    flat = [one for source in _as_list(pictures) for one in _spread(source)]
    if not flat:
        raise ConfigError("pictures", "there are none", "give files, folders, arrays or Pillow's images")
    return torch.stack([fit_picture(one, size, model.channels, model.resize) for one in flat])


def find_image_size(model: "TrainedModel") -> tuple[int, int]:
    """Return the height and width that the model's images have.

    Raises:
        ConfigError: if it is not known.
    """
    if model.image_size is not None:
        return model.image_size
    if model.side_px is not None:
        return model.side_px, model.side_px
    problem = f"is not known of {model.provenance}"
    raise ConfigError("image_size", problem, "set it in TrainedModel, or give a tensor of images of that size")


def _as_list(pictures: object) -> Iterable[object]:
    several = isinstance(pictures, Iterable) and not isinstance(pictures, str | bytes | Mapping | np.ndarray)
    return pictures if several else [pictures]  # type: ignore[return-value]


def _spread(source: object) -> Iterable[Path | Image.Image | NDArray[Any]]:
    if isinstance(source, Image.Image):
        return [source]
    if isinstance(source, np.ndarray):
        return list(source) if source.ndim == 4 else [source]
    if isinstance(source, str | os.PathLike):
        return list_files([source])
    remedy = "give files, folders, arrays or Pillow's images, or a tensor of images alone"
    raise ConfigError("pictures", f"hold a {type(source).__name__}", remedy)
