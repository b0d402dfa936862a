"""Follow a model over an image: every module call, and what its output sees."""

import contextlib
import copy
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError, VisionlibError
from visionlib.summary.calls import CallLog, ModuleCall, first_tensor
from visionlib.summary.interpreter import CircularPadding, Interpreter, NeedsValuesError
from visionlib.summary.reach import Reach, image_reach

Size: TypeAlias = tuple[int, ...]

_LONGEST_SIDE = 2**20
"""In pixels. Their numbers are kept in single precision, and some rules lift them by as much."""

_WIDTHS: tuple[tuple[type[nn.Module], str, str, int], ...] = (
    (nn.modules.conv._ConvNd, "in_channels", "channels", 1),
    (nn.modules.batchnorm._NormBase, "num_features", "channels", 1),
    (nn.GroupNorm, "num_channels", "channels", 1),
    (nn.Linear, "in_features", "features", -1),
)
"""Layers that take so many channels or features, and the dimension that holds them."""


@dataclass(frozen=True)
class Output:
    """What is kept of what a module put out.

    Attributes:
        shape: of the first tensor, batch included.
        reach: what its entries see; None if nothing of the image went into it.
        size_bytes: memory that it would take.
    """

    shape: tuple[int, ...]
    reach: Reach | None
    size_bytes: int


def follow(
    model: nn.Module,
    sizes: Sequence[Size],
    keys: Sequence[str] | None = None,
    *,
    batch_size: int = 1,
    with_lines: bool = False,
) -> CallLog:
    """Run a model without its arithmetic, in evaluation mode, and leave it as it was.

    Args:
        model: any module that runs on the inputs.
        sizes: of the inputs, without the batch; reach is followed over the first, and over those of its height and
            width.
        keys: arguments of `forward` that they are given as; by default in order.
        batch_size: images in the batch.
        with_lines: follow single rows and columns, too, besides the first and the last.
    Returns:
        The calls, with an `Output` each, and sentences about what was assumed.
    Raises:
        ConfigError: if a side of the image is longer than can be followed.
        ModelError: if the model does not run, or does what is not known; the message names the layer.
    """
    if (longest := max((side for size in sizes for side in size[1:]), default=0)) > _LONGEST_SIDE:
        raise ConfigError(
            "input_size", f"{longest} pixels on one side are too many", f"no side may exceed {_LONGEST_SIDE}"
        )
    model = _settled(model)
    try:
        return _run(model, sizes, keys, batch_size, with_lines=with_lines, with_values=False)
    except NeedsValuesError as error:
        told = f"{error}: the model was run on noise, and another image may take another way through it"
    log = _run(model, sizes, keys, batch_size, with_lines=with_lines, with_values=True)
    log.assumptions.append(told)
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
        found = first_tensor(result)
        if found is None:
            return None
        return Output(tuple(found.shape), interpreter.reach_of(found), found.numel() * found.element_size())

    try:
        with (
            log.watching(keep),
            _as_it_was(model),
            torch.inference_mode(False),
            torch.no_grad(),
            CircularPadding(),
            interpreter,
        ):
            images = _make_images(interpreter, sizes, batch_size, dtype, with_lines=with_lines, with_values=with_values)
            if keys is None:
                model(*images)
            else:
                model(**dict(zip(keys, images, strict=True)))
    except (VisionlibError, NeedsValuesError):
        raise
    except Exception as error:  # whatever a user's model raises
        raise _refusal(log, error, sizes, batch_size) from error
    finally:
        interpreter.restore()
    return log


def _refusal(log: CallLog, error: Exception, sizes: Sequence[Size], batch_size: int) -> ModelError:
    failed = log.failed
    took = " and ".join(map(_crossed, failed.inputs)) if failed is not None else ""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    told = None if failed is None else _misfit(failed)
    batch = f" in a batch of {batch_size}" if batch_size > 1 else ""
    return ModelError(
        type(log.model).__name__ if failed is None else failed.title,
        f"does not run on {took or 'this input'}: {told or f'{type(error).__name__}: {text}'}",
        f"check the input size, which is {' and '.join(map(_crossed, sizes))}{batch}",
    )


def _misfit(call: ModuleCall) -> str | None:
    """Tell what a layer expected and what it got, where it is the number of channels or features that does not fit."""
    shape = call.inputs[0] if call.inputs else ()
    for kind, attribute, what, dim in _WIDTHS:
        if isinstance(call.module, kind) and len(shape) > abs(dim):
            expected, got = getattr(call.module, attribute), shape[dim]
            return f"it expects {expected} {what} and got {got}" if expected != got else None
    return None


def _crossed(shape: Sequence[int]) -> str:
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
            stand_in = torch.rand(shape, generator=generator).to(interpreter.device, dtype)
        else:
            stand_in = torch.empty(shape, dtype=dtype, device="meta")
        is_followed = len(size) > 1 and size[1:] == sizes[0][1:]
        images.append(interpreter.image(stand_in, image_reach(shape, with_lines=with_lines) if is_followed else None))
    return images


@contextlib.contextmanager
def _plain_kernels() -> Iterator[None]:
    """Do without fused kernels, which do in one opaque step what the plain ones do in several that are understood."""
    fast_path, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # Not torch.backends.mkldnn.flags, which sets other things as well and warns of them.
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        torch._C._set_mkldnn_enabled(onednn)


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Run in evaluation mode, and put back every mode, every attribute and every generator of random numbers."""
    modules = list(model.modules())
    before = [(held, copy.copy(held)) for module in modules for held in _containers(module)]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    tensors = (*model.parameters(), *model.buffers())
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(list(devices)), _plain_kernels():
        for module in modules:
            module.training = False
        try:
            yield
        finally:
            for held, copied in before:
                _put_back(held, copied)
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _containers(module: nn.Module) -> Iterator[Any]:
    """Give what holds a module's attributes, and those attributes that hold several things."""
    yield vars(module)
    for value in vars(module).values():
        if type(value) in (dict, OrderedDict, list, set):
            yield value


def _put_back(held: Any, before: Any) -> None:
    """Let a container hold what it held before; what has not changed is not touched."""
    if isinstance(held, dict):
        for key in [key for key in held if key not in before]:
            del held[key]
        held.update((key, value) for key, value in before.items() if key not in held or held[key] is not value)
    elif isinstance(held, list):
        if len(held) != len(before) or any(a is not b for a, b in zip(held, before, strict=True)):
            held[:] = before
    elif held != before:
        held.clear()
        held.update(before)


def is_lazy(tensor: Tensor) -> bool:
    """Tell whether a weight waits for the first run to learn its shape."""
    return isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)


def _settled(model: nn.Module) -> nn.Module:
    """Take a model out of what compiles it or spreads it over devices, and copy it if a run would complete it."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module  # type: ignore[assignment]
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        return copy.deepcopy(model)  # the first run gives lazy modules their weights
    return model
