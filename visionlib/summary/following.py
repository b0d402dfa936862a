"""Trace a model: all module calls on one image size, with the receptive fields of their outputs."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from visionlib.errors import ConfigError, ModelError, VisionlibError
from visionlib.summary.calls import CallLog, ModuleCall, first_tensor
from visionlib.summary.interpreter import CircularPadding, Interpreter, NeedsValuesError
from visionlib.summary.model_state import preserve_state
from visionlib.summary.receptive_fields import ReceptiveFields, fields_of_image

Size: TypeAlias = tuple[int, ...]

_LONGEST_SIDE = 2**20
"""In pixels. Bounds are kept in single precision, and some rules add as much to them."""

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


def follow(
    model: nn.Module,
    sizes: Sequence[Size],
    keys: Sequence[str] | None = None,
    *,
    batch_size: int = 1,
    with_lines: bool = False,
) -> CallLog:
    """Run a model in eval mode on shapes and receptive fields alone, and leave its state unchanged.

    Args:
        model: any module that runs on the inputs.
        sizes: of the inputs, without the batch; fields are traced in the first and in all of its height and width.
        keys: argument names of `forward` for the inputs; by default positional.
        batch_size: images in the batch.
        with_lines: trace every row and column within the bounds as well.
    Returns:
        The calls, with an `Output` each, and the assumptions.
    Raises:
        ConfigError: if a side of the image is longer than 2^20 pixels.
        ModelError: if the model does not run, or has an operation without a rule; the message names the layer.
    """
    if (longest := max((side for size in sizes for side in size[1:]), default=0)) > _LONGEST_SIDE:
        raise ConfigError(
            "input_size", f"{longest} pixels on one side are too many", f"no side may exceed {_LONGEST_SIDE}"
        )
    model = _unwrap(model)
    try:
        return _run(model, sizes, keys, batch_size, with_lines=with_lines, with_values=False)
    except NeedsValuesError as error:
        assumption = f"{error}: the model was run on noise, and another image may take another branch"
    log = _run(model, sizes, keys, batch_size, with_lines=with_lines, with_values=True)
    log.assumptions.append(assumption)
    return log


def _run(
    model: nn.Module,
    sizes: Sequence[Size],
    keys: Sequence[str] | None,
    batch_size: int,
    *,
    with_lines: bool,
    with_values: bool,
) -> CallLog:
    log = CallLog(model)
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    interpreter = Interpreter(
        model, device=device, where=log.where, count=log.count, note=log.note, with_values=with_values
    )

    def keep(result: Any) -> Output | None:
        tensor = first_tensor(result)
        if tensor is None:
            return None
        return Output(tuple(tensor.shape), interpreter.fields_of(tensor), tensor.numel() * tensor.element_size())

    try:
        with (
            log.recording(keep),
            preserve_state(model),
            _unfused_kernels(),
            torch.inference_mode(False),
            torch.no_grad(),
            CircularPadding(interpreter),
            interpreter,
        ):
            images = _make_images(interpreter, sizes, batch_size, dtype, with_lines=with_lines, with_values=with_values)
            if keys is None:
                model(*images)
            else:
                model(**dict(zip(keys, images, strict=True)))
    except (VisionlibError, NeedsValuesError):
        raise
    except Exception as error:  # a user's model may raise anything
        raise _run_error(log, error, sizes, batch_size) from error
    finally:
        interpreter.restore()
    return log


@contextlib.contextmanager
def _unfused_kernels() -> Iterator[None]:
    """Disable fused kernels, which have no receptive-field rule; their unfused equivalents have one."""
    fast_path, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # Not torch.backends.mkldnn.flags, which sets other things as well and warns of them.
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        torch._C._set_mkldnn_enabled(onednn)


def _run_error(log: CallLog, error: Exception, sizes: Sequence[Size], batch_size: int) -> ModelError:
    failed = log.failed
    inputs = " and ".join(map(_format_shape, failed.inputs)) if failed is not None else ""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    mismatch = None if failed is None else _describe_mismatch(failed)
    batch = f" in a batch of {batch_size}" if batch_size > 1 else ""
    return ModelError(
        type(log.model).__name__ if failed is None else failed.title,
        f"does not run on {inputs or 'this input'}: {mismatch or f'{type(error).__name__}: {text}'}",
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


def _make_images(
    interpreter: Interpreter,
    sizes: Sequence[Size],
    batch_size: int,
    dtype: torch.dtype,
    *,
    with_lines: bool,
    with_values: bool,
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    images: list[Tensor] = []
    for size in sizes:
        shape = (batch_size, *size)
        if with_values:
            inner = torch.rand(shape, generator=generator).to(interpreter.device, dtype)
        else:
            inner = torch.empty(shape, dtype=dtype, device="meta")
        is_traced = len(size) > 1 and size[1:] == sizes[0][1:]
        images.append(interpreter.wrap(inner, fields_of_image(shape, with_lines=with_lines) if is_traced else None))
    return images


def _unwrap(model: nn.Module) -> nn.Module:
    """Remove wrappers that compile or distribute a model; copy a lazy model, which the first run would initialize."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module  # type: ignore[assignment]
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        return copy.deepcopy(model)
    return model
