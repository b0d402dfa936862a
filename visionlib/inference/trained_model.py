"""`TrainedModel`: a network with all that it takes to use it."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from visionlib.data.decode import Resize
from visionlib.errors import ConfigError, ModelError
from visionlib.eval_mode import Precision, input_format
from visionlib.inference.device import choose_compute
from visionlib.inference.pictures import PictureSource, read_images
from visionlib.inference.prediction import Predictions, predict
from visionlib.inference.preprocessing import check_pixels, prepare_inputs, scale_width
from visionlib.inference.run_model import load_model
from visionlib.models import build_model, load_weights
from visionlib.models.layout import prepare_layout
from visionlib.models.model_record import ModelRecord, Novelty
from visionlib.runs import Run, open_run, read_config


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with its preprocessing and its classes, wherever it comes from.

    Attributes:
        network: returns a row of logits per image; it computes where its weights lie.
        mean: per channel of the images, as fractions of 255.
        std: per channel of the images, as fractions of 255.
        side_px: height of the network's inputs, the width in proportion; None for images as they are.
        classes: names, in the order of the logits; empty where they are not known.
        precision: of convolutions and products.
        provenance: where the weights come from, in words.
        image_size: height and width that pictures are decoded to; None where it is not known.
        resize: how pictures of another size become that size.
        temperature: divisor of the logits that calibrates the probabilities; None where none was fitted.
        novelty: tells images that are unlike anything in training; None where it is not known.
    """

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side_px: int | None = None
    classes: tuple[str, ...] = ()
    precision: Precision = "fp32"
    provenance: str = "a network in memory"
    image_size: tuple[int, int] | None = None
    resize: Resize = "crop"
    temperature: float | None = None
    novelty: Novelty | None = None

    @classmethod
    def from_run(
        cls,
        run: Run | str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        device: str = "auto",
        precision: Precision | None = None,
    ) -> "TrainedModel":
        """Load the network of a finished run.

        Args:
            run: a run, or its folder.
            network: to load the run's weights into, for a run that was trained with a network in memory; it changes.
            device: as in `TrainConfig.device`.
            precision: by default that of the run's training.
        Raises:
            RunError: if the run is unfinished or damaged.
            ModelError: if the network cannot be built again.
            ConfigError: if the device is absent.
        """
        run = run if isinstance(run, Run) else open_run(run)
        network, record = load_model(run, network)
        config = read_config(run) if run.training.is_file() else None  # pretrained weights and hub folders have none
        compute = choose_compute(device, precision or (config.compute.precision if config else "fp32"))
        return cls(
            network.to(compute.device),
            record.mean,
            record.std,
            record.input_size[0],
            record.classes,
            compute.precision,
            f"run {run.path}",
            record.image_size or _size_before_shrinking(record, config.config.resolutions if config else (1.0,)),
            record.resize,
            record.temperature,
            record.novelty,
        )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        model: str,
        *,
        classes: tuple[str, ...],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        side_px: int | None = None,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> "TrainedModel":
        """Load a checkpoint file that `visionlib.models.load_weights` reads.

        Args:
            path: of the file, in safetensors or torch's format.
            model: what `build_model` takes.
            classes: names, in the order of the logits.
            mean: per channel, as fractions of 255.
            std: per channel, as fractions of 255.
            side_px: height of the network's inputs; None for that of the images.
            device: as in `TrainConfig.device`.
            precision: of convolutions and products.
        Raises:
            ModelError: if there is no such model, or the file does not fit it.
            ConfigError: if the device is absent.
        """
        compute = choose_compute(device, precision)
        network = build_model(model, classes=len(classes), channels=len(mean))
        load_weights(prepare_layout(network), Path(path))
        return cls(network.eval().to(compute.device), mean, std, side_px, classes, precision, f"checkpoint {path}")

    @classmethod
    def from_network(
        cls,
        network: nn.Module,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...] | None,
        side_px: int | None = None,
        **fields: Any,
    ) -> "TrainedModel":
        """Complete a network in memory by its preprocessing, which no images can tell.

        Raises:
            ConfigError: if mean or std is missing.
        """
        if mean is None or std is None:
            raise ConfigError(
                "mean, std", "are not known of a network alone", "give those that it was trained with, or a dataset"
            )
        return cls(network, tuple(mean), tuple(std), side_px, **fields)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.mean)

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return input_format(self.network)[0]

    def input_size(self, images: UInt8[Tensor, "n c h w"]) -> tuple[int, int, int]:
        """Channels, height and width of the network's inputs for images of this size.

        Raises:
            ConfigError: if they are not pixels as stored.
        """
        check_pixels(images)
        channels, height, width = images.shape[1:]
        if self.side_px is None:
            return channels, height, width
        return channels, self.side_px, scale_width(height, width, self.side_px)

    def prepare(self, images: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "n c _h _w"]:
        """Move images to the device, normalize them, and shrink them to the network's input size."""
        return prepare_inputs(images.to(self.device), self.mean, self.std, self.side_px)

    def predict(
        self,
        images: UInt8[Tensor, "n c h w"] | PictureSource | Sequence[PictureSource],
        *,
        batch_size: int = 250,
        mirror: bool = False,
    ) -> Predictions:
        """Predict images, or pictures of any kind and size, which are decoded and resized as in training.

        Args:
            images: pixels as stored, in a tensor; or a file, a folder, a picture of Pillow's, an array of one picture
                (h, w), (h, w, 3) or of several (n, h, w, 3), or a sequence of those. For more files than memory holds
                see `classify_files`.
            batch_size: images per forward pass.
            mirror: average the logits of every image and of its mirror image.
        Raises:
            ModelError: if the number of logits is not that of the classes, where these are known.
            DataError: if a picture cannot be read, or an array is none of pixels.
            ConfigError: if the size of the network's images is not known, and pictures have to be resized to it.
        """
        if not isinstance(images, Tensor):
            images = read_images(self, images)
        elif not len(images):
            warnings.warn("images: there are none to predict; the logits have no rows", stacklevel=2)
        predictions = predict(
            self.network,
            images,
            mean=self.mean,
            std=self.std,
            side_px=self.side_px,
            batch_size=batch_size,
            precision=self.precision,
            mirror=mirror,
        )
        if self.classes and predictions.logits.shape[1] != len(self.classes):
            problem = f"gives {predictions.logits.shape[1]} logits and the images are of {len(self.classes)} classes"
            raise ModelError(type(self.network).__name__, problem, "evaluate it on the classes that it was made for")
        return replace(predictions, classes=self.classes, temperature=self.temperature, novelty=self.novelty)


def _size_before_shrinking(record: ModelRecord, resolutions: tuple[float, ...]) -> tuple[int, int]:
    """Return the size of the images of a run by an older version, whose training ended with a fraction of it."""
    height, width = (round(side / resolutions[-1]) for side in record.input_size)
    return height, width
