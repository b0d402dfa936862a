"""Weights that come with the package: a folder for each name, with its weights, `model.json` and model card.

A folder that lies here is known; nothing else lists it. `model.json` is that of a run, and holds the SHA-256 of
`model.safetensors`, whose numbers are in half precision. `python bench/pretrain.py RUN NAME` makes a folder.
"""

import difflib
from pathlib import Path

from visionlib.errors import ModelError

FOLDER = Path(__file__).parent


def list_pretrained() -> tuple[str, ...]:
    """List the names of the weights that come with the package."""
    return tuple(sorted(file.parent.name for file in FOLDER.glob("*/model.json")))


def find_pretrained(name: str) -> Path:
    """Return the folder of pretrained weights.

    Raises:
        ModelError: if there are none of this name; the message lists the known ones.
    """
    names = list_pretrained()
    if name in names:
        return FOLDER / name
    close = difflib.get_close_matches(name.lower(), names) or names
    remedy = f"choose from {', '.join(close)}, or name" if close else "this installation has none; name"
    raise ModelError(
        name, "there are no pretrained weights of this name, and no such path", f"{remedy} a run or a weight file"
    )
