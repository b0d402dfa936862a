"""Weights that a network begins with, from wherever they were trained: what they are, and which of them it can take."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from visionlib.errors import ModelError, RunError
from visionlib.models.checkpoints import check_numbers, is_counter, read_weights, strip_prefixes, translate_names
from visionlib.models.model_record import load_record
from visionlib.models.pretrained import find_pretrained
from visionlib.models.state_file import Encoded
from visionlib.runs import Run, hash_file
from visionlib.runs.run import reachable

_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder: of a run, of pretrained weights or of a hub folder."""
_NAMED = 4
"""Names of tensors that a line lists."""


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Weights with what is known about them.

    Attributes:
        source: as the user named it.
        path: the file.
        sha256: of the file.
        state: named tensors.
        model: name of the network; None where the source does not tell, and so below.
        classes: class names, in the order of the logits.
        mean: per channel of the images, as fractions of 255.
        std: per channel of the images, as fractions of 255.
        input_size: height and width in pixels that the training ended with.
    """

    source: str
    path: Path
    sha256: str
    state: Mapping[str, Tensor | Encoded]
    model: str | None = None
    classes: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Transfer:
    """Which tensors a network takes from weights, by name.

    Attributes:
        source: of the weights.
        path: of their file.
        sha256: of that file.
        taken: by the network.
        new: drawn by the seed; counters are not listed.
        other_classes: left out, since they are of a head for other classes.
        other_shape: left out, since the network has another shape there.
        other_name: left out, since the network has no tensor of this name.
        mean: of the weights' training, per channel; None where it is not known.
        std: of the weights' training, per channel.
    """

    source: str
    path: str
    sha256: str
    taken: tuple[str, ...]
    new: tuple[str, ...]
    other_classes: tuple[str, ...]
    other_shape: tuple[str, ...]
    other_name: tuple[str, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    def describe(self) -> list[str]:
        """Describe it in one to three lines."""
        n = len(self.taken) + len(self.new)
        lines = [f"begins with {self.source} (SHA-256 {self.sha256[:12]}): takes {len(self.taken)} of {n} tensors"]
        if self.new:
            lines.append(f"new, by the seed: {_list_names(self.new)}")
        reasons = {
            "of other classes": self.other_classes,
            "of another shape": self.other_shape,
            "of no name here": self.other_name,
        }
        left_out = [f"{_list_names(names)} ({reason})" for reason, names in reasons.items() if names]
        return [*lines, f"left out: {'; '.join(left_out)}"] if left_out else lines


def open_weights(weights: str | os.PathLike[str] | Run, model: str | None = None) -> InitialWeights:
    """Read weights from a run, a checkpoint file, a folder as of a model hub, or by the name of pretrained ones.

    Args:
        weights: a finished run or its folder; a file that `visionlib.models.checkpoints.read_weights` reads; a folder
            with `model.safetensors` or `pytorch_model.bin`; or a name of `visionlib.models.list_pretrained`, or the
            part of it that names the data, such as `cifar10`.
        model: the network to find pretrained weights for, where their name leaves it open.
    Raises:
        ModelError: if there are no such weights, or the file is damaged or needs unpickling.
        RunError: if the run is unfinished or damaged.
    """
    source = str(weights.path if isinstance(weights, Run) else weights)
    path = Path(source)
    with reachable(path):
        if not path.exists():
            if path.suffix or path.name != source:
                raise ModelError(source, "there is no such weight file or folder", "check the path", is_usage=True)
            path = find_pretrained(source, model)
        file = _find_file(path) if path.is_dir() else path
        is_file = file.is_file()
    if not is_file:  # reading a pipe would wait for a writer
        raise ModelError(source, "is no file of weights", "name a weight file, or a folder with one", is_usage=True)
    sha256, record = hash_file(file), file.parent / "model.json"
    is_described = file.name == _FOLDER_FILES[0] and record.is_file()
    known = _read_record(record, sha256) if is_described else {}
    return InitialWeights(source, file, sha256, read_weights(file), **known)


def _find_file(folder: Path) -> Path:
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    if (folder / "config.json").is_file() and (folder / "resume.pt").is_file():
        raise RunError(folder, "is unfinished, without weights", f"finish it: visionlib train --resume {folder}")
    raise ModelError(folder, f"holds none of {', '.join(_FOLDER_FILES)}", "name a run, a hub folder or a weight file")


def plan_transfer(network: nn.Module, weights: InitialWeights, classes: tuple[str, ...] | int) -> Transfer:
    """Find the tensors that a network can take: those of the same name and shape, the head only for the same classes.

    Args:
        network: with initialized layers; it is not changed.
        weights: to take from.
        classes: names of the network's classes, in the order of its logits, or their number. The head is taken if the
            weights are of the same names in the same order; where either does not tell names, if the numbers are equal.
    Raises:
        ModelError: if nothing fits, the images have another number of channels, or a tensor that fits holds NaN.
    """
    state = network.state_dict()
    names = strip_prefixes(state)
    own = {bare: state[name] for bare, name in names.items()}
    stored = translate_names(weights.state, own)
    is_other = isinstance(classes, tuple) and weights.classes is not None and weights.classes != classes
    head = find_head(network, classes if isinstance(classes, int) else len(classes)) if is_other else None
    heads = {bare for bare, name in names.items() if head and _is_in(name, head)}
    known = [name for name in own if name in stored]
    fitting = [name for name in known if _fits(stored[name], own[name])]
    taken = [name for name in fitting if name not in heads]
    _check_channels(network, weights, stored, own)
    if not any(_is_weight(own[name]) for name in taken):
        raise _describe_misfit(network, weights, stored, own)
    buffers = strip_prefixes(name for name, _ in network.named_buffers(remove_duplicate=False))
    for name in taken:
        value = stored[name]
        if isinstance(value, Tensor):
            check_numbers(weights.path, name, value, own[name], is_buffer=name in buffers)
    return Transfer(
        weights.source,
        str(weights.path.resolve()),
        weights.sha256,
        taken=tuple(taken),
        new=tuple(name for name in own if name not in taken and _is_weight(own[name])),
        other_classes=tuple(name for name in known if name in heads),
        other_shape=tuple(name for name in known if name not in fitting and name not in heads),
        other_name=tuple(name for name in stored if name not in own),
        mean=weights.mean,
        std=weights.std,
    )


def take_weights(network: nn.Module, weights: InitialWeights, classes: tuple[str, ...] | int) -> Transfer:
    """Copy the tensors of `plan_transfer`, whose arguments and errors are the same, into the network."""
    transfer = plan_transfer(network, weights, classes)
    state = network.state_dict()
    names = strip_prefixes(state)
    stored = translate_names(weights.state, names)
    for bare in transfer.taken:
        entry = stored[bare]
        state[names[bare]] = entry.value if isinstance(entry, Encoded) else entry
    network.load_state_dict(state)
    return transfer


def find_head(network: nn.Module, classes: int) -> str | None:
    """Find the name of the head: the last linear layer with an output for each class; None without one."""
    named = network.named_modules()
    heads = [name for name, layer in named if isinstance(layer, nn.Linear) and layer.out_features == classes]
    return heads[-1] if heads else None


def _fits(stored: Tensor | Encoded, own: object) -> bool:
    if isinstance(stored, Encoded) or not isinstance(own, Tensor):
        return isinstance(stored, Encoded)
    return stored.shape == own.shape


def _is_weight(own: object) -> bool:
    """Return whether an entry of a network's state is a tensor other than a counter."""
    return isinstance(own, Tensor) and not is_counter(own)


def _is_in(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")


def _read_record(file: Path, sha256: str) -> dict[str, Any]:
    """Read `model.json` beside the weights that it describes."""
    record = load_record(Run(file.parent))
    if record.weights_sha256 != sha256:
        raise RunError(file.parent, "its weights do not have the SHA-256 of model.json", "restore them, or train again")
    names = ("model", "classes", "mean", "std", "input_size")
    return {name: getattr(record, name) for name in names}


def _check_channels(
    network: nn.Module, weights: InitialWeights, stored: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    """Refuse weights of images with another number of channels: their preprocessing has no meaning for these images."""
    stem = next((name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)), None)
    bare = {name: bare for bare, name in strip_prefixes(network.state_dict()).items()}.get(f"{stem}.weight", "")
    ours, theirs = (tuple[int, ...](getattr(side.get(bare), "shape", ())) for side in (own, stored))
    is_stem_alike = len(ours) == len(theirs) == 4 and ours[2:] == theirs[2:]
    if is_stem_alike and ours[1] != theirs[1]:
        problem = f"is of a network for images of {theirs[1]} channels, and these have {ours[1]}"
        raise ModelError(weights.source, problem, f"take weights for {ours[1]} channels, or convert the images")


def _describe_misfit(
    network: nn.Module, weights: InitialWeights, stored: Mapping[str, Any], own: Mapping[str, Any]
) -> ModelError:
    names = tuple(sorted(name for name, value in stored.items() if _is_weight(value))) or tuple(stored)
    problem = (
        f"has no tensor for this network: it holds {_list_names(names)}, "
        f"and {type(network).__name__} wants {_list_names(tuple(own))}"
    )
    remedy = "choose the network that they were trained in by --model"
    return ModelError(weights.source, problem, f"{remedy}: {weights.model}" if weights.model else remedy)


def _list_names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
