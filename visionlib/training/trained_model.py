"""The weights of a run and what is needed to use them: written together, checked when read."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from visionlib.errors import RunError
from visionlib.models import build_model, load_weights
from visionlib.runs import Run, hash_file, read_json, replacing, write_json


@dataclass(frozen=True)
class ModelRecord:
    """What `model.json` says of the weights beside it.

    Attributes:
        model: what `build_model` takes.
        classes: class names, in the order of the logits.
        channels: of the images.
        input_size: height and width in pixels that its training ended with; images are shrunk to it.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
    """

    model: str
    classes: tuple[str, ...]
    channels: int
    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def save_model(run: Run, model: nn.Module, record: ModelRecord) -> str:
    """Write the weights, then the record that vouches for them; give the SHA-256 of the weights."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(run.weights) as temporary:
        save_file(state, temporary)
    weights_hash = hash_file(run.weights)
    write_json(run.model, {**asdict(record), "weights_sha256": weights_hash})
    return weights_hash


def load_record(run: Run) -> tuple[ModelRecord, str]:
    """Read `model.json`: the record, and the SHA-256 that the weights must have.

    Raises:
        RunError: if it is absent or damaged.
    """
    fields = read_json(run.model)
    try:
        return _parse_record(fields), str(fields["weights_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(run.model, f"is damaged ({error!r})", "restore it, or train again") from error


def load_model(run: Run) -> tuple[nn.Module, ModelRecord]:
    """Build the run's network with its weights, ready for inference.

    Raises:
        RunError: if the weights are absent, or are not those that `model.json` vouches for.
        ModelError: if the network cannot be built again.
    """
    record, expected = load_record(run)
    if not run.weights.is_file():
        raise RunError(run.weights, "the run lacks its weights", "restore the file, or train again")
    if hash_file(run.weights) != expected:
        raise RunError(run.weights, "is not the file that model.json vouches for", "restore it, or train again")
    model = build_model(record.model, classes=len(record.classes), channels=record.channels)
    load_weights(model, run.weights)
    return model.to(memory_format=torch.channels_last).eval(), record  # type: ignore[call-overload]


def _parse_record(fields: dict[str, Any]) -> ModelRecord:
    height, width = fields["input_size"]
    return ModelRecord(
        model=str(fields["model"]),
        classes=tuple(str(name) for name in fields["classes"]),
        channels=int(fields["channels"]),
        input_size=(int(height), int(width)),
        mean=tuple(float(value) for value in fields["mean"]),
        std=tuple(float(value) for value in fields["std"]),
    )
