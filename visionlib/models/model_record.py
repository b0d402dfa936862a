"""`ModelRecord`: the content of `model.json`, which describes the weights beside it."""

from dataclasses import dataclass
from typing import Annotated

from visionlib.data.decode import Resize
from visionlib.runs import Run, read_record
from visionlib.runs.fields import Count, FieldError, Length, Range, Unit

_SidePx = Annotated[int, Range(1, 16384)]
_Channels = Annotated[int, Range(1, 4096)]
_Mean = Annotated[float, Range(-1e6, 1e6)]
_Std = Annotated[float, Range(1e-9, 1e6)]
_Temperature = Annotated[float, Range(1e-12, 1e12)]
_Energy = Annotated[float, Range(-1e12, 1e12)]


@dataclass(frozen=True)
class Novelty:
    """The energy of the logits above which a picture is unlike anything in training, see `inference.novelty`.

    Attributes:
        threshold: above it lie `false_alarms` of the images that it was fitted on.
        n: number of those images.
        is_held_out: whether they were held out of the training; else they are training images, and ordinary new images
            are marked more often than `false_alarms`.
        false_alarms: fraction of ordinary images that are marked.
    """

    threshold: _Energy
    n: Count
    is_held_out: bool
    false_alarms: Unit = 0.05


@dataclass(frozen=True)
class ModelRecord:
    """The content of `model.json`.

    Attributes:
        model: what `build_model` takes.
        classes: class names, in the order of the logits.
        channels: of the images.
        input_size: height and width in pixels that the training ended with; images are shrunk to it.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        weights_sha256: of `model.safetensors`.
        image_size: height and width in pixels that pictures are decoded to; the input size is at most that.
        resize: how pictures of another size become that size.
        temperature: divisor of the logits, fitted on held-out training images; None where none was fitted.
        novelty: tells images that are unlike anything in training; None where it is not known.
    Raises:
        FieldError: if mean or std have another number of values than channels.
    """

    model: str
    classes: Annotated[tuple[str, ...], Length(1)]
    channels: _Channels
    input_size: tuple[_SidePx, _SidePx]
    mean: tuple[_Mean, ...]
    std: tuple[_Std, ...]
    weights_sha256: str = ""
    image_size: tuple[_SidePx, _SidePx] | None = None
    resize: Resize = "crop"
    temperature: _Temperature | None = None
    novelty: Novelty | None = None

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            problem = f"has {len(self.mean)} means and {len(self.std)} stds for {self.channels} channels"
            raise FieldError("", problem)


def load_record(run: Run) -> ModelRecord:
    """Read `model.json`.

    Raises:
        RunError: if it is absent or damaged.
    """
    return read_record(run.model, ModelRecord)
