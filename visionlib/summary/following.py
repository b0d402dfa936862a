"""Trace a model: all module calls on one image size, with the receptive fields of their outputs."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.errors import ModelError, VisionlibError
from visionlib.eval_mode import unwrap_model
from visionlib.summary.calls import CallLog, ModuleCall, first_tensor
from visionlib.summary.inputs import Inputs, InputSize, Size
from visionlib.summary.interpreter import Interpreter, NeedsValuesError
from visionlib.summary.messages import describe_error
from visionlib.summary.model_state import preserve_state
from visionlib.summary.python_functions import PythonFunctions
from visionlib.summary.receptive_fields import ReceptiveFields, fields_of_image

_CHANNEL_ARGUMENTS: tuple[tuple[type[nn.Module], str, str, int], ...] = (
    (nn.modules.conv._ConvNd, "in_channels", "channels", 1),
    (nn.modules.batchnorm._NormBase, "num_features", "channels", 1),
    (nn.GroupNorm, "num_channels", "channels", 1),
    (nn.Linear, "in_features", "features", -1),
)
"""Layer type, its attribute for the size of a dimension, the name of that size, the dimension."""


@dataclass(frozen=True)
class Output:
    """Output of a module call.

    Attributes:
        shape: of the first returned tensor, batch included.
        fields: its receptive fields; None if it does not depend on the image.
        size_bytes: memory that its values would take.
    """

    shape: tuple[int, ...]
    fields: ReceptiveFields | None
    size_bytes: int


def follow(model: nn.Module, input_size: InputSize, *, batch_size: int = 1, with_lines: bool = False) -> CallLog:
    """Run a model in eval mode on shapes and receptive fields alone, and leave its state unchanged.

    Args:
        model: any module that runs on the inputs.
        input_size: as `summarize`; fields are traced in the first input and in all of its height and width.
        batch_size: images in the batch.
        with_lines: trace every row and column within the bounds as well.
    Returns:
        The calls, with an `Output` each, and the assumptions.
    Raises:
        ConfigError: if a size is invalid.
        ModelError: if the model does not run, or has an operation without a rule; the message names the layer.
    """
    model = unwrap_model(model)
    inputs = Inputs.read(input_size).fit(model)
    try:
        return _run(model, inputs, batch_size, with_lines=with_lines, with_values=False)
    except NeedsValuesError as error:
        assumption = f"{error}: the model was run on noise, and another image may take another branch"
    log = _run(model, inputs, batch_size, with_lines=with_lines, with_values=True)
    log.assumptions.append(assumption)
    return log


def _run(model: nn.Module, inputs: Inputs, batch_size: int, *, with_lines: bool, with_values: bool) -> CallLog:
    log = CallLog(model)
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    interpreter = Interpreter(device=device, where=log.where, count=log.count, note=log.note, with_values=with_values)

    def keep(result: Any) -> Output | None:
        with torch._C.DisableTorchFunction():
            tensor = first_tensor(result)
            if tensor is None:
                return None
            return Output(tuple(tensor.shape), interpreter.fields_of(tensor), tensor.numel() * tensor.element_size())

    try:
        with (
            log.recording(keep),
            preserve_state(model, interpreter.memory),
            _unfused_kernels(),
            _uncompiled_functions(),
            torch.inference_mode(False),
            torch.no_grad(),
            PythonFunctions(interpreter),
            interpreter,
        ):
            make = _image_maker(interpreter, inputs.sizes[0], batch_size, dtype, with_lines=with_lines)
            args, kwargs = inputs.make(make)
            model(*args, **kwargs)
            log.record_parameters()
    except (VisionlibError, NeedsValuesError):
        raise
    except Exception as error:  # a user's model may raise anything
        _require_values_as(interpreter)
        raise _run_error(log, error, inputs.sizes, batch_size) from error
    _require_values_as(interpreter)
    return log


def _require_values_as(interpreter: Interpreter) -> None:
    """Raise again what the model or TorchScript has caught."""
    if interpreter.needed is not None:
        raise NeedsValuesError(interpreter.needed)


@contextlib.contextmanager
def _unfused_kernels() -> Iterator[None]:
    """Disable fused kernels, which have no receptive-field rule; their unfused equivalents have one."""
    torch.backends.mha.set_fastpath_enabled(False)
    # Not torch.backends.mkldnn.flags, which sets other things as well and warns of them.
    torch._C._set_mkldnn_enabled(False)
    yield


def _uncompiled_functions() -> contextlib.AbstractContextManager[Any]:
    """Run functions that torch.compile has wrapped as they are written; without any, do not import it."""
    is_imported = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if is_imported else contextlib.nullcontext()


def _run_error(log: CallLog, error: Exception, sizes: Sequence[Size], batch_size: int) -> ModelError:
    failed = log.failed
    inputs = " and ".join(map(_format_shape, failed.inputs)) if failed is not None else ""
    mismatch = None if failed is None else _describe_mismatch(failed)
    batch = f" in a batch of {batch_size}" if batch_size > 1 else ""
    return ModelError(
        type(log.model).__name__ if failed is None else failed.title,
        f"does not run on {inputs or 'this input'}: {mismatch or describe_error(error)}",
        f"check the input size, which is {' and '.join(map(_format_shape, sizes))}{batch}",
    )


def _describe_mismatch(call: ModuleCall) -> str | None:
    """Expected and actual number of channels or features; None if the error has another cause."""
    shape = call.inputs[0] if call.inputs else ()
    for layer_type, attribute, unit, dim in _CHANNEL_ARGUMENTS:
        if isinstance(call.module, layer_type) and len(shape) > abs(dim):
            expected, got = getattr(call.module, attribute), shape[dim]
            return f"it expects {expected} {unit} and got {got}" if expected != got else None
    return None


def _format_shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _image_maker(
    interpreter: Interpreter, first: Size, batch_size: int, dtype: torch.dtype, *, with_lines: bool
) -> Callable[[Size], Tensor]:
    """Function that makes an input of a size; `first` is that of the image."""
    generator = torch.Generator().manual_seed(0)

    def make(size: Size) -> Tensor:
        shape = (batch_size, *size)
        if interpreter.with_values:
            inner = torch.rand(shape, generator=generator).to(interpreter.device, dtype)
        else:
            inner = torch.empty(shape, dtype=dtype, device="meta")
        is_traced = len(size) > 1 and size[1:] == first[1:]
        return interpreter.wrap(inner, fields_of_image(shape, with_lines=with_lines) if is_traced else None)

    return make
