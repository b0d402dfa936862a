"""Load weights from a file into a network: all of them, or none."""

import os
import pickle
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.models.state_file import Encoded, read_state

_V = TypeVar("_V")

_WRAPPERS = ("net", "state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema", "ema")
"""Keys under which training scripts store the weights; the first is kuangliu's, the second akamaster's. An average is
taken only where the weights themselves are absent."""

_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that DataParallel, torch.compile and Lightning add to every name."""

_AVERAGE_COUNTER = "n_averaged"
"""Of `torch.optim.swa_utils.AveragedModel`, beside the prefixed names of the weights."""

_LAYER_NAMES = {"fc": "linear", "classifier": "linear", "downsample": "shortcut"}
"""Layers of other libraries' ResNets (torchvision, timm) by their names there and here."""


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Copy the weights of a file into the model; the model is unchanged if this raises.

    The file is one that `read_weights` reads. Names of torchvision's ResNets are translated to those of the model.
    Counters, such as BatchNorm's `num_batches_tracked`, may be absent: old files lack them.

    Args:
        model: the weights are converted to its dtype and device.
        path: the file.
    Raises:
        ModelError: if the file is absent, damaged, no weight file, or needs unpickling; if names or shapes differ from
            the model's; if a weight is not a finite number.
    """
    file = Path(path)
    content = read_weights(file)
    state = model.state_dict()
    names = strip_prefixes(state)
    content = translate_names(content, names)
    encoded = {bare: entry.value for bare, entry in content.items() if isinstance(entry, Encoded)}
    stored = {bare: entry for bare, entry in content.items() if isinstance(entry, Tensor)}
    own = {bare: state[name] for bare, name in names.items() if isinstance(state[name], Tensor) and bare not in encoded}
    unknown = dict.fromkeys(bare for bare in encoded if bare not in names)
    _check_names(file, {**stored, **unknown}, own)
    _check_shapes(file, stored, own)
    sparse = {bare: value for bare, value in encoded.items() if isinstance(value, Tensor)}
    _check_shapes(file, sparse, {bare: state[names[bare]] for bare in sparse})
    buffers = strip_prefixes(name for name, _ in model.named_buffers(remove_duplicate=False))
    for name, value in stored.items():
        check_numbers(file, name, value, own[name], is_buffer=name in buffers)
    loaded = {names[bare]: value for bare, value in {**stored, **encoded}.items()}
    try:
        model.load_state_dict({**state, **loaded})
    except Exception as error:  # a user's set_extra_state can raise anything
        problem = f"cannot be loaded ({error})"
        raise ModelError(file, problem, "build the model that the file was saved from") from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor | Encoded]:
    """Read the named tensors of a file, without the prefixes that wrappers add to all names.

    The file is safetensors, as `save_state` or others write it, or tensors alone from `torch.save`; nothing is
    unpickled that could run code. The weights may stand under `net`, `state_dict`, `model`, `model_state_dict`, or a
    key of an average, and every name may begin with `module.`, `_orig_mod.` or `model.`.

    Raises:
        ModelError: if the file is absent, damaged, no weight file, or needs unpickling.
    """
    file = Path(path)
    if file.exists() and not file.is_file() and not file.is_dir():  # reading a pipe would wait for a writer
        raise ModelError(file, "is no file", "name a weight file", is_usage=True)
    return _find_weights(file, _read_file(file))


def translate_names(content: Mapping[str, _V], own: Collection[str]) -> dict[str, _V]:
    """Give layers that the network has under another library's name the network's own; other names stay."""
    parts = {part for name in content for part in name.split(".")}
    own_parts = {part for name in own for part in name.split(".")}
    table = {
        old: new
        for old, new in _LAYER_NAMES.items()
        if old in parts and old not in own_parts and new in own_parts and new not in parts
    }
    return {".".join(table.get(part, part) for part in name.split(".")): value for name, value in content.items()}


def _read_file(file: Path) -> object:
    """Read a weight file, recognized by its first bytes and not by its name."""
    convert = "have its tensors saved with safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
    try:
        with file.open("rb") as opened:
            head = opened.read(9)
        if head[8:9] == b"{":
            return read_state(file)
        if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
            with warnings.catch_warnings():
                # Our own error reports the consequences, if there are any.
                warnings.filterwarnings("ignore", "Detected pickle protocol")
                return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(file, "there is no such weight file", "check the path", is_usage=True) from None
    except OSError as error:
        raise ModelError(file, f"cannot be read ({error.strerror or error})", "name a weight file") from error
    except pickle.UnpicklingError:
        # From None: torch's own message advises to unpickle the file anyway.
        problem = "holds more than tensors, and files that need unpickling are refused, since they can run code"
        raise ModelError(file, problem, convert) from None
    except ModelError:
        raise
    except SafetensorError as error:
        raise ModelError(file, f"is a damaged safetensors file ({error})", "fetch or save it again") from error
    except Exception as error:  # torch raises many exception types on a damaged archive
        raise ModelError(
            file, "is a damaged torch checkpoint, or none at all", f"fetch it again, or {convert}"
        ) from error
    raise ModelError(file, "is no weight file", "name a safetensors file or a torch checkpoint")


def _find_weights(file: Path, content: object) -> dict[str, Tensor | Encoded]:
    """Return the named tensors, unwrapped."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if isinstance(content, Mapping) and _AVERAGE_COUNTER in content:
        content = {name: value for name, value in content.items() if name != _AVERAGE_COUNTER}
    remedy = f"the weights must be named tensors, alone or under one of {', '.join(_WRAPPERS)}"
    if not isinstance(content, Mapping) or not content:
        raise ModelError(file, f"holds {'nothing' if not content else type(content).__name__}", remedy)
    odd = [name for name, value in content.items() if not isinstance(name, str) or not _is_readable(value)]
    if odd:
        raise ModelError(file, f"{odd[0]!r} is a {type(content[odd[0]]).__name__}, not a dense tensor", remedy)
    return {bare: content[name] for bare, name in strip_prefixes(content).items()}


def _is_readable(value: object) -> bool:
    if isinstance(value, Encoded):
        return True
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


def is_counter(value: Tensor) -> bool:
    """Return whether an entry of a model is a counter, not a weight."""
    return value.ndim == 0 and value.dtype == torch.int64


def strip_prefixes(names: Iterable[str]) -> dict[str, str]:
    """Map every name without the common prefixes to the name itself."""
    bare = {name: name for name in names}
    while prefix := next((p for p in _PREFIXES if bare and all(name.startswith(p) for name in bare)), None):
        bare = {name.removeprefix(prefix): original for name, original in bare.items()}
    return bare


def _check_names(file: Path, stored: Mapping[str, Tensor | None], own: Mapping[str, Tensor]) -> None:
    missing = [name for name, value in own.items() if name not in stored and not is_counter(value)]
    unexpected = [name for name in stored if name not in own]
    if missing or unexpected:
        parts = [
            f"{len(names)} {kind} (first {names[0]})"
            for names, kind in ((missing, "missing"), (unexpected, "unexpected"))
            if names
        ]
        problem = f"holds the weights of another model: {', '.join(parts)}"
        raise ModelError(file, problem, "build the model that the file was saved from, or choose another file")


def _check_shapes(file: Path, stored: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [name for name, value in stored.items() if value.shape != own[name].shape]
    if wrong:
        first = wrong[0]
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        problem = f"{first} is {tuple(stored[first].shape)}, and the model has {tuple(own[first].shape)}{more}"
        raise ModelError(file, problem, "build the model with the classes and channels that the file was saved with")


def check_numbers(file: Path, name: str, value: Tensor, own: Tensor, *, is_buffer: bool) -> None:
    """Check that a weight is of the model's kind of number, and finite in the model's dtype.

    A buffer may be infinite, as a mask is, unless it is a statistic; and any number may be what the model has there.
    """
    if is_counter(own):
        return
    if (value.is_floating_point(), value.is_complex()) != (own.is_floating_point(), own.is_complex()):
        raise ModelError(
            file, f"{name} is {value.dtype}, and the model has {own.dtype}", "save the weights as floating point"
        )
    numbers = value.to(own.dtype)
    is_valid = torch.isfinite(numbers)
    if bool(is_valid.all()):
        return
    if is_buffer and not name.rpartition(".")[2].startswith("running_"):
        is_valid = is_valid | torch.isinf(numbers)
    expected = own.detach().to(numbers.device)
    if not bool((is_valid | (numbers == expected) | (numbers.isnan() & expected.isnan())).all()):
        raise ModelError(file, f"{name} holds NaN or infinity", "training diverged: use weights saved before that")
