"""`export_onnx`: one ONNX file that takes raw pictures of any size, checked against the network that it came from."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, DataError, ModelError
from visionlib.export.classifier import PictureClassifier
from visionlib.export.onnx_graph import check_extra, trace_module
from visionlib.export.reduced_precision import halve_weights, quantize
from visionlib.export.runtime import classify, open_session
from visionlib.export.source import name_source
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import replacing
from visionlib.runs.files import check_new_file
from visionlib.version import __version__

if TYPE_CHECKING:
    from onnx import ModelProto

FilePrecision = Literal["fp32", "fp16", "int8"]
LARGEST_DIFFERENCE = 1e-4
"""Of any probability, between the file's in fp32 and the network's."""

_CALIBRATION_IMAGES = 500
_CHECKED_SIZES = ((1, 1), (17, 90), (90, 17), (64, 48), (301, 200))
"""Height and width of pictures that each file is checked on, beside some of the size that it resizes to."""


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file, and its agreement with the network.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        precision: of the weights: fp32, fp16, or int8, in which activations are int8, too.
        checked: pictures of several sizes that it was compared on with the network in fp32.
        largest_difference: of a probability on them.
        n: number of test images that the accuracies are of; 0 where none were given.
        accuracy: of the file, on the whole test split; None where none was given.
        network_accuracy: of the network in fp32 on the same images.
        same_class: fraction of them in which both find the same class.
    """

    path: str
    size_bytes: int
    precision: FilePrecision
    checked: int
    largest_difference: float
    n: int = 0
    accuracy: float | None = None
    network_accuracy: float | None = None
    same_class: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


def export_onnx(
    model: TrainedModel,
    out: str | Path,
    *,
    precision: FilePrecision = "fp32",
    dataset: Dataset | None = None,
    licence: str = "unknown",
    force: bool = False,
    log: Callable[[str], None] = lambda _line: None,
) -> OnnxExport:
    """Write a network with all of its preprocessing as one ONNX file.

    Its input `images` is uint8 of shape (n, height, width, channels): pictures as decoded, of any height and width. Its
    outputs are `probabilities` (n, classes) and, for networks with a linear layer, `embedding` (n, width). The names of
    the classes stand in its metadata under `classes`, in JSON.

    Args:
        model: computes in fp32 here, whatever it was trained in.
        out: file to write.
        precision: fp16 halves the file: the weights are stored in half precision and computed with in fp32. int8 is a
            quarter of it: weights and inputs of convolutions and linear layers are quantized.
        dataset: its training images calibrate int8, which needs them; on its test split the accuracy is measured.
        licence: of the weights, for the metadata.
        force: replace an existing file.
        log: gets a line on each step.
    Raises:
        ConfigError: if `out` exists, its folder is missing, the packages of the extra are not installed, or int8 comes
            without images.
        ModelError: if the network cannot be exported, or the file answers otherwise in fp32.
    """
    out = Path(out)
    check_extra()
    check_new_file(out, force=force)
    if precision == "int8" and dataset is None:
        raise ConfigError("--precision int8", "needs training images for calibration", "give the run's data: --dataset")
    classifier = PictureClassifier(model)
    log(f"tracing a network for pictures of any size, resized to {_spell_size(classifier.image_size)}")
    proto = trace_module(classifier, classifier.channels, classifier.output_names)
    reference = _make_checks(classifier)
    difference = _largest_difference(proto, classifier, reference)
    if not difference <= LARGEST_DIFFERENCE:
        problem = f"the ONNX file's probabilities differ from the network's by up to {difference:.2g}"
        raise ModelError(type(model.network).__name__, problem, "report it with the network's code")
    if precision == "fp16":
        halve_weights(proto)
    elif precision == "int8":
        assert dataset is not None
        log(f"calibrating on {min(len(dataset.train), _CALIBRATION_IMAGES):,} training images")
        proto = quantize(proto, _sample(dataset.train))
    if precision != "fp32":
        difference = _largest_difference(proto, classifier, reference)
    result = OnnxExport(str(out), 0, precision, len(reference), difference)
    test = None if dataset is None else dataset.splits.get("test")
    if test is not None and len(test):
        log(f"measuring the accuracy on {len(test):,} test images")
        result = _measure(proto, classifier, model, test, result)
    _describe(proto, model, classifier, licence, result)
    with replacing(out) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return OnnxExport(**{**asdict(result), "size_bytes": out.stat().st_size})


def _make_checks(classifier: PictureClassifier) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Draw pictures of several sizes: noise, which is the hardest to resize, at two contrasts."""
    generator = np.random.default_rng(0)
    shapes = [(2, *classifier.image_size), *((1, *size) for size in _CHECKED_SIZES)]
    pictures = []
    for shape in shapes:
        noise = generator.integers(0, 256, (*shape, classifier.channels), dtype=np.uint8)
        pictures += [noise, noise // 4 + np.uint8(96)]
    return pictures


def _largest_difference(
    proto: "ModelProto", classifier: PictureClassifier, pictures: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> float:
    session = open_session(proto)
    with torch.no_grad():
        differences = [
            np.abs(classify(session, images) - classifier(torch.from_numpy(images))[0].numpy()).max()
            for images in pictures
        ]
    return float(np.max(differences))  # NaN, which Python's own max may lose, stays NaN


def _sample(train: ImageSplit) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return training images, evenly spaced, as the file takes pictures."""
    if not len(train):
        raise DataError("training split", "has no images to calibrate on", "give data with a training split")
    at = torch.linspace(0, len(train) - 1, min(len(train), _CALIBRATION_IMAGES)).round().long()
    return train.images[at].permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _measure(
    proto: "ModelProto", classifier: PictureClassifier, model: TrainedModel, test: ImageSplit, result: OnnxExport
) -> OnnxExport:
    session, labels = open_session(proto), test.labels.cpu()
    chunks = torch.split(test.images, 250)
    found = torch.cat(
        [
            torch.from_numpy(classify(session, chunk.permute(0, 2, 3, 1).contiguous().cpu().numpy())).argmax(1)
            for chunk in chunks
        ]
    )
    own = TrainedModel(classifier.network, model.mean, model.std, model.side_px).predict(test.images).logits.argmax(1)
    measured = {
        "n": len(labels),
        "accuracy": (found == labels).double().mean().item(),
        "network_accuracy": (own.cpu() == labels).double().mean().item(),
        "same_class": (found == own.cpu()).double().mean().item(),
    }
    return OnnxExport(**{**asdict(result), **measured})


def _describe(
    proto: "ModelProto", model: TrainedModel, classifier: PictureClassifier, licence: str, result: OnnxExport
) -> None:
    """Write the metadata of the file; every value is a text, as ONNX has it."""
    import onnxruntime

    height, width = classifier.image_size
    fields = {
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "image_size": json.dumps([height, width]),
        "resize": model.resize,
        "mean": json.dumps(model.mean),
        "std": json.dumps(model.std),
        "temperature": json.dumps(model.temperature),
        "highest_energy": json.dumps(None if model.novelty is None else model.novelty.threshold),
        "precision": result.precision,
        "provenance": name_source(model),
        "licence": licence,
        "versions": json.dumps(
            {"visionlib": __version__, "torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
        ),
        "largest_difference": f"{result.largest_difference:.3g}",
        "accuracy": json.dumps(result.accuracy),
        "accuracy_n": json.dumps(result.n),
    }
    del proto.metadata_props[:]
    for key, value in fields.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "visionlib", __version__


def _spell_size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} px"
