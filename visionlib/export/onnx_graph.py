"""From a module that takes pictures to an ONNX graph, through torch's exporter."""

import contextlib
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from visionlib.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Known to ONNX Runtime since 1.14, in Python, Node and the browser."""

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_EXAMPLE = (2, 40, 50)
"""Number, height and width of the traced pictures; all three stay free, and 0 or 1 would not."""


def check_extra() -> None:
    """Refuse, before anything is computed, to go on without the packages of the extra.

    Raises:
        ConfigError: names them.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        problem = f"{', '.join(missing)} {are} not installed"
        raise ConfigError("export to ONNX", problem, "pip install 'visionlib-torch[export]'")


def trace_program(module: nn.Module, channels: int) -> torch.export.ExportedProgram:
    """Trace a module for any number of pictures of any height and width, of uint8 with the channels last.

    Raises:
        ModelError: if the network cannot be traced.
    """
    example = torch.zeros(*_EXAMPLE, channels, dtype=torch.uint8)
    sizes = {axis: torch.export.Dim(name) for axis, name in enumerate(("n", "h", "w"))}
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(module, (example,), dynamic_shapes=(sizes,))
    except Exception as error:  # torch.export has a dozen exception types, and the network may raise others
        raise _refuse(module, error) from error


def trace_module(module: nn.Module, channels: int, output_names: list[str]) -> "ModelProto":
    """Translate a module into an ONNX model with the input `images`, without names of this machine.

    Raises:
        ModelError: if the network cannot be traced, or ONNX lacks one of its operations; the message names it.
    """
    program = trace_program(module, channels)
    try:
        with quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=output_names,
                verbose=False,
            )
    except Exception as error:  # the translation raises whatever its parts raise
        raise _refuse(module, error) from error
    assert exported is not None
    proto = exported.model_proto
    _remove_traces(proto)
    return proto


def _remove_traces(proto: "ModelProto") -> None:
    """Take out what torch notes at each node: stacks of calls, with paths of this machine."""
    for graph in _graphs(proto.graph):
        for entry in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            del entry.metadata_props[:]
            entry.doc_string = ""


def _graphs(graph: "ModelProto") -> Iterator["ModelProto"]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _refuse(module: nn.Module, error: Exception) -> ModelError:
    """Say which operation is at fault: the innermost error knows."""
    texts, current = [], error
    while current is not None:
        texts.append(str(current))
        current = current.__cause__  # type: ignore[assignment]
    operation = re.search(r"aten[.:]+\w+|OpOverload\(op='([^']+)'", " ".join(reversed(texts)))
    name = type(getattr(module, "network", module)).__name__
    first = next((line for text in reversed(texts) for line in text.splitlines() if line.strip()), type(error).__name__)
    reason = f"operation {operation[1] or operation[0]}" if operation else f"{first[:200]}"
    return ModelError(name, f"cannot be exported ({reason})", "replace that operation in the network by another one")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep remarks of torch and of the quantization on their own parts from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
