"""Parts of error messages: the line of the user's code, and the error that a model raised."""

import os
import traceback
from pathlib import Path

import torch

_LIBRARY_PATHS = (
    f"{Path(torch.__file__).parent}{os.sep}",
    f"{Path(torch.__file__).parents[1] / 'jaxtyping'}{os.sep}",
    f"{Path(__file__).parent}{os.sep}",
    "<",
)
"""Files that are no user code: messages name the innermost line outside of them."""


def user_line() -> str:
    """File and line of the user's code that called the operation."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_LIBRARY_PATHS):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "unknown"


def describe_error(error: Exception) -> str:
    """Class and first line of an error, and the line after one that only announces it."""
    try:
        message = str(error).replace("TracedTensor", "Tensor")
    except Exception:
        message = ""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
