"""Weights that come with the package: a folder for each name, with its weights, `model.json` and model card.

A folder that lies here is known; nothing else lists it. `model.json` is that of a run, and holds the SHA-256 of
`model.safetensors`, whose numbers are in half precision. `python bench/pretrain.py RUN NAME` makes a folder.
A name is that of the network and of the data, such as `resnet20-cifar10`; that of the data alone stands for the network
that is built, or for the most accurate one.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from visionlib.errors import ModelError

FOLDER = Path(__file__).parent
MOST_ACCURATE: Mapping[str, str] = MappingProxyType({"cifar10": "cnn8-cifar10"})
"""Name of the data -> name of its most accurate weights."""


def list_pretrained() -> tuple[str, ...]:
    """List the names of the weights that come with the package."""
    return tuple(sorted(file.parent.name for file in FOLDER.glob("*/model.json")))


def is_pretrained(name: str) -> bool:
    """Whether `find_pretrained` finds this name."""
    return {name, MOST_ACCURATE.get(name)} & set(list_pretrained()) != set()


def find_pretrained(name: str, model: str | None = None) -> Path:
    """Return the folder of pretrained weights.

    Args:
        name: one of `list_pretrained`, or the name of the data alone.
        model: the network that the weights are for, if the name leaves it open; by default the most accurate one.
    Raises:
        ModelError: if there are none of this name; the message lists the known ones.
    """
    names = list_pretrained()
    for candidate in (name, f"{model}-{name}", MOST_ACCURATE.get(name)):
        if candidate in names:
            return FOLDER / str(candidate)
    close = difflib.get_close_matches(name.lower(), names) or names
    remedy = f"choose from {', '.join(close)}, or name" if close else "this installation has none; name"
    problem = "there are no pretrained weights of this name, and no such path"
    raise ModelError(name, problem, f"{remedy} a run or a weight file", is_usage=True)
