"""A network's state as a safetensors file, whatever it holds: shared weights, sparse buffers, extra state.

The format takes dense tensors that share no memory. So a tensor with several names is stored once, and anything else
as the bytes of `torch.save`, which are read with `weights_only`: that runs no code. One entry of the metadata says
which; the format writes several in no fixed order, and the same network must give the same file.
"""

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import _TYPES, load_file, save
from torch import Tensor, nn

from visionlib.errors import ModelError

_KEY = "visionlib.state"
_EXTRA_STATE = "_extra_state"
_MOST_HEADER_BYTES = 100 * 10**6
"""The limit of the format itself."""


@dataclass(frozen=True)
class Encoded:
    """An entry of a state file that is no dense tensor of weights."""

    value: Any


def save_state(network: nn.Module, file: Path) -> None:
    """Write a network's state; the file of a network of plain tensors has no metadata.

    Raises:
        ModelError: as `encode_state`.
    """
    tensors, metadata = encode_state(network)
    file.write_bytes(save(tensors, metadata or None))  # an error of Python's own, where the disk is full


def encode_state(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a network's state as contiguous tensors on the CPU that share no memory, and the metadata.

    Raises:
        ModelError: if the extra state of a module holds more than tensors and plain values.
    """
    tensors, aliases = dict[str, Tensor](), dict[str, str]()
    names, storages, encoded = dict[object, str](), set[int](), list[str]()
    for name, value in network.state_dict().items():
        if name.rpartition(".")[2] == _EXTRA_STATE or not _is_plain(value):
            tensors[name] = _encode(name, value)
            encoded.append(name)
            continue
        memory = value.untyped_storage().data_ptr()
        place = (memory, value.storage_offset(), value.shape, value.stride(), value.dtype)
        if value.numel() and place in names:
            aliases[name] = names[place]
            continue
        contiguous = value.detach().cpu().contiguous()
        # Another part of the same memory, such as a slice of a buffer, is stored for itself.
        tensors[name] = contiguous.clone() if memory in storages else contiguous
        names[place] = name
        storages.add(memory)
    is_plain = not aliases and not encoded
    return tensors, {} if is_plain else {_KEY: json.dumps({"aliases": aliases, "encoded": encoded})}


def read_state(file: Path) -> dict[str, Tensor | Encoded]:
    """Read a safetensors file, with all names of its tensors; entries that are no plain tensors are `Encoded`.

    Raises:
        SafetensorError: if the file is damaged.
        ModelError: if an encoded entry is damaged.
    """
    _refuse_repeated(file)
    state: dict[str, Tensor | Encoded] = dict(load_file(file, device="cpu"))
    with safe_open(file, "pt") as opened:
        metadata: Mapping[str, str] = opened.metadata() or {}
    try:
        kinds = json.loads(metadata.get(_KEY, '{"aliases": {}, "encoded": []}'))
        for name in kinds["encoded"]:
            stored = state[name]
            assert isinstance(stored, Tensor)
            content = io.BytesIO(stored.numpy().tobytes())
            state[name] = Encoded(torch.load(content, map_location="cpu", weights_only=True))
        # safetensors.torch.save_model writes aliases into the metadata itself.
        aliases = {**{key: name for key, name in metadata.items() if name in state}, **kinds["aliases"]}
        return {**{alias: state[name] for alias, name in aliases.items()}, **state}
    except Exception as error:  # torch raises many exception types
        raise ModelError(file, f"holds a damaged entry ({error})", "restore the file") from error


def _refuse_repeated(file: Path) -> None:
    """Refuse a header that names a tensor twice: readers would disagree about which one counts."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise SafetensorError("a name occurs twice in its header")
        return fields

    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = opened.read(min(size, _MOST_HEADER_BYTES))
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON the library refuses in its own words
        json.loads(header, object_pairs_hook=check)


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.dtype in _TYPES.values()
    )


def _encode(name: str, value: object) -> Tensor:
    stream = io.BytesIO()
    try:
        torch.save(value, stream)
        torch.load(io.BytesIO(stream.getvalue()), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, or whatever the value's own methods raise
        problem = f"its entry {name} is a {type(value).__name__} that a run cannot keep"
        remedy = "let get_extra_state return tensors, numbers, strings, and lists or dicts of them"
        raise ModelError("network", problem, remedy) from error
    return torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8)
