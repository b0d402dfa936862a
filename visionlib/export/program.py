"""`export_program`: the classifier as a `torch.export` archive, `.pt2`."""

from pathlib import Path

import torch

from visionlib.export.classifier import PictureClassifier
from visionlib.export.onnx_graph import quiet, trace_program
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import replacing
from visionlib.runs.files import check_new_file


def export_program(model: TrainedModel, out: str | Path, *, force: bool = False) -> Path:
    """Write a network with all of its preprocessing; `torch.export.load(out).module()` classifies pictures of any size.

    Args:
        model: computes in fp32 here; inputs and outputs are those of `export_onnx`, in the same order.
        out: file to write; torch wants it to end in `.pt2`.
        force: replace an existing file.
    Raises:
        ConfigError: if `out` exists, or its folder is missing.
        ModelError: if the network cannot be traced.
    """
    out = Path(out)
    check_new_file(out, force=force)
    classifier = PictureClassifier(model)
    program = trace_program(classifier, classifier.channels)
    with replacing(out) as temporary, temporary.open("wb") as file, quiet():
        torch.export.save(program, file)
    return out
