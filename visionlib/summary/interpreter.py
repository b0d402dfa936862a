"""Run a model without its arithmetic: shapes are worked out, and what every entry sees of the image.

The image is a `Seen` tensor, which has a shape and a reach and no values. PyTorch hands every operation on it to the
interpreter, which lets the operation work out the shape of its result on stand-ins without memory, and takes the
result's reach from a rule. Operations into which nothing of the image goes run as they are.
"""

import os
import traceback
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from visionlib.errors import ModelError
from visionlib.summary.macs import count_macs
from visionlib.summary.operation import Operation, Outcome
from visionlib.summary.reach import NOTHING, Reach
from visionlib.summary.rules.masks import find_blanks
from visionlib.summary.rules.pointwise import pointwise
from visionlib.summary.rules.shapes import found
from visionlib.summary.rules.table import RULES
from visionlib.summary.stand_ins import shape_result
from visionlib.summary.windows import padded as padded_windows

_NOT_THE_USERS = (
    f"{Path(torch.__file__).parent}{os.sep}",
    f"{Path(torch.__file__).parents[1] / 'jaxtyping'}{os.sep}",
    f"{Path(__file__).parent}{os.sep}",
    "<",
)
"""Where the files lie that are passed over when a line of the user's code is looked for."""

_ASKS_FOR_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique_dim"})
_WRITES_UNTOLD = frozenset({("native_batch_norm", "running_mean"), ("native_batch_norm", "running_var")})
"""Arguments that are written to, though the schema of the operation does not say so."""


class NeedsValuesError(Exception):
    """The model asks for the value of something that depends on the image."""


class Seen(Tensor):
    """A tensor that depends on the image: a shape, and what every entry sees."""

    stand_in: Tensor
    own_reach: Reach | None
    blanks: Tensor | None
    interpreter: "Interpreter"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, stand_in: Tensor, reach: Reach | None, interpreter: "Interpreter") -> "Seen":
        """Make a tensor that has a shape and no memory."""
        seen = torch.Tensor._make_wrapper_subclass(
            cls,
            stand_in.shape,
            strides=stand_in.stride(),
            storage_offset=stand_in.storage_offset(),
            dtype=stand_in.dtype,
            device=interpreter.device,
        )
        seen.stand_in, seen.own_reach, seen.interpreter, seen.blanks = stand_in, reach, interpreter, None
        return seen

    def __init__(self, stand_in: Tensor, reach: Reach | None, interpreter: "Interpreter") -> None:
        super().__init__()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        seen = next(value for value in _tensors(args, kwargs or {}) if isinstance(value, Seen))
        return seen.interpreter.call(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Seen({tuple(self.shape)})"


class Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follow what is seen through every operation while the block runs.

    Args:
        model: its weights and buffers are put back if the run writes to them.
        device: where tensors claim to lie.
        where: tells the module that runs now, for errors and notes.
        count: takes the multiply-accumulates of each operation.
        note: takes notes: a kind, a sentence.
        with_values: run on values instead of stand-ins, for models that ask for them.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: torch.device,
        where: Callable[[], str],
        count: Callable[[int], None],
        note: Callable[[str, str], None],
        with_values: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self._where, self._count, self._note = where, count, note
        self._with_values = with_values
        self._owned = {
            tensor.untyped_storage()._cdata
            for tensor in (*model.parameters(), *model.buffers())
            if not isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)
            and tensor.device.type != "meta"
        }
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._alive: weakref.WeakSet[Seen] = weakref.WeakSet()
        self._written: dict[int, tuple[tuple[Tensor, ...], Tensor, Reach]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of torch.compile, a second, which PyTorch wants to tell to stay away from this class."""
        return False

    def image(self, stand_in: Tensor, reach: Reach | None) -> Seen:
        """Make an input of the model."""
        return self._wrap(stand_in, reach)

    def reach_of(self, tensor: Tensor) -> Reach | None:
        """Give what a tensor sees; None if nothing of the image went into it."""
        stand_in = tensor.stand_in if isinstance(tensor, Seen) else tensor
        if self._written and (entry := self._written.get(stand_in.untyped_storage()._cdata)) is not None:
            return _read(entry[0], entry[2], stand_in)
        return tensor.own_reach if isinstance(tensor, Seen) else None

    def pad_circular(self, inputs: "Seen", widths: list[int]) -> "Seen":
        """Let dimensions, the last first, go round by so many entries before and after."""
        padded = F.pad(inputs.stand_in, widths, mode="circular")
        reach = self.reach_of(inputs)
        for at in range(len(widths) // 2):
            dim = inputs.ndim - 1 - at
            windows = padded_windows(inputs.shape[dim], widths[2 * at], widths[2 * at + 1], "circular")
            reach = None if reach is None else reach.look(dim, windows)
        return self._wrap(padded, reach)

    def restore(self) -> None:
        """Put back the weights and buffers that the run wrote to."""
        for storage, before in self._before.values():
            storage.copy_(before)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.call(func, args, kwargs or {})

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what an operation does to the tensors that see something, and to the others what it always does."""
        tensors = list(_tensors(args, kwargs))
        is_seeing = [isinstance(tensor, Seen) or self._is_written(tensor) for tensor in tensors]
        schema = func._schema
        if not any(is_seeing) or (schema.is_mutable is False and _is_view(func) and not isinstance(tensors[0], Seen)):
            self._remember(func, args, kwargs)
            return func(*args, **kwargs)
        return self._follow(func, args, kwargs, tensors)

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        name = func.overloadpacket.__name__
        if name == "_fused_sdp_choice":
            return 0  # the plain way, whose parts are understood
        if not self._with_values and (name in _ASKS_FOR_VALUES or _picks_by_mask(name, args)):
            raise NeedsValuesError(f"{self._where()} asks for the value of what depends on the image ({_line()})")
        stand_ins = {id(tensor): self._stand_in(tensor) for tensor in tensors}
        origins = {id(stand_ins[id(tensor)]): tensor for tensor in tensors}
        values = _bind(func, _replace(args, stand_ins), _replace(kwargs, stand_ins))
        if "device" in kwargs and not self._with_values:
            kwargs = {**kwargs, "device": torch.device("meta")}
        if self._with_values:
            self._remember(func, args, kwargs)
        run = func if self._with_values else partial(shape_result, func)
        results = run(*_replace(args, stand_ins), **_replace(kwargs, stand_ins))
        outputs = list(results) if isinstance(results, list | tuple) else [results]
        are_tensors = [isinstance(output, Tensor) for output in outputs]
        if not any(are_tensors) or (self._with_values and not all(are_tensors)):
            return results
        operation = Operation(
            name=name.rstrip("_") if not name.startswith("__") else name,
            values=values,
            reaches={
                id(stand_ins[id(tensor)]): reach for tensor in tensors if (reach := self.reach_of(tensor)) is not None
            },
            constants={
                id(stand_ins[id(t)]): t
                for t in tensors
                if not (isinstance(t, Seen) or t.is_meta or self._is_written(t))
            },
            blanks={id(t.stand_in): t.blanks for t in tensors if isinstance(t, Seen) and t.blanks is not None},
            outputs=outputs,
            note=self._note,
        )
        self._count(count_macs(operation))
        outcome = self._rule(func, operation)(operation) if operation.reaches else None
        reaches: list[Reach | None] = (
            [outcome] * len(outputs) if outcome is None or isinstance(outcome, Reach) else list(outcome)
        )
        wrapped: list[Tensor] = []
        for output, reach in zip(outputs, reaches, strict=True):
            origin = origins.get(id(output))
            if origin is not None:
                self._write(origin, reach)
                wrapped.append(origin)
            else:
                wrapped.append(self._wrap(output, reach))
        if isinstance(wrapped[0], Seen):
            wrapped[0].blanks = find_blanks(operation)
        return type(results)(wrapped) if isinstance(results, list | tuple) else wrapped[0]

    def _rule(self, func: Any, operation: Operation) -> Callable[[Operation], Outcome]:
        if (rule := RULES.get(operation.name)) is not None:
            return rule
        if torch.Tag.pointwise in func.tags:
            return pointwise
        shape = operation.first.shape
        if all(output.shape == shape for output in operation.outputs):
            self._note("assumed", f"{func.name()} was taken to work entry by entry")
            return pointwise
        told = " and ".join(str(tuple(output.shape)) for output in operation.outputs)
        raise ModelError(
            self._where(),
            f"{func.name()} ({_line()}) makes {told} of {tuple(shape)} in a way that is not known",
            "ask for a rule for it, or put known operations in its place",
        )

    def _wrap(self, output: Tensor, reach: Reach | None) -> Seen:
        seen = Seen(output, reach, self)
        self._alive.add(seen)
        return seen

    def _stand_in(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, Seen):
            return tensor.stand_in
        if self._with_values:
            return tensor.view_as(tensor) if tensor.layout == torch.strided else tensor
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    def _is_written(self, tensor: Tensor) -> bool:
        if not self._written:
            return False
        stand_in = tensor.stand_in if isinstance(tensor, Seen) else tensor
        return stand_in.untyped_storage()._cdata in self._written

    def _remember(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Copy a weight or buffer before it is written to for the first time."""
        name = func.overloadpacket.__name__
        if not func._schema.is_mutable and not any(name == operation for operation, _ in _WRITES_UNTOLD):
            return
        values = _bind(func, args, kwargs)
        for argument in func._schema.arguments:
            is_written = argument.alias_info is not None and argument.alias_info.is_write
            if not is_written and (name, argument.name) not in _WRITES_UNTOLD:
                continue
            for tensor in _tensors((values[argument.name],), {}):
                storage = tensor.untyped_storage()
                if storage._cdata in self._owned and storage._cdata not in self._before:
                    self._before[storage._cdata] = (storage, storage.clone())  # type: ignore[no-untyped-call]

    def _write(self, target: Tensor, reach: Reach | None) -> None:
        """Let a tensor, and all that share its memory, see something else from now on."""
        stand_in = target.stand_in if isinstance(target, Seen) else target
        key = stand_in.untyped_storage()._cdata
        is_blank = False
        if isinstance(target, Seen) and key not in self._written:
            family = [seen for seen in self._alive if seen.stand_in.untyped_storage()._cdata == key]
            if all(_geometry(seen.stand_in) == _geometry(stand_in) for seen in family):
                for seen in family:
                    seen.own_reach = reach
                return
            if reach is None:
                reach = next((seen.own_reach for seen in family if seen.own_reach is not None), None)
                is_blank = True
        else:
            family = []
        if reach is None and key in self._written:
            reach, is_blank = self._written[key][2], True
        if reach is None:
            return
        if key not in self._written:
            self._written[key] = self._lay_out(stand_in, reach, family)
        for plane, source in zip(self._written[key][0], reach.planes, strict=True):
            _window(plane, stand_in).copy_(torch.full((), NOTHING) if is_blank else source.expand(-1, *stand_in.shape))

    def _lay_out(self, stand_in: Tensor, reach: Reach, family: list[Seen]) -> tuple[tuple[Tensor, ...], Tensor, Reach]:
        """Write out what every entry of a piece of memory sees, so that views of it can be written to."""
        entries = stand_in.untyped_storage().nbytes() // stand_in.element_size()
        planes = tuple(torch.full((plane.shape[0], entries), NOTHING) for plane in reach.planes)
        for seen in family:
            if seen.own_reach is not None:
                for plane, source in zip(planes, seen.own_reach.planes, strict=True):
                    _window(plane, seen.stand_in).copy_(source.expand(-1, *seen.stand_in.shape))
        return planes, stand_in, reach


class CircularPadding(TorchFunctionMode):
    """Take circular padding whole: PyTorch makes it of copies into slices, in which an image without border is lost."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "pad" and "circular" in (*args[2:], kwargs.get("mode")):
            inputs = args[0] if args else kwargs["input"]
            widths = args[1] if len(args) > 1 else kwargs["pad"]
            if isinstance(inputs, Seen):
                return inputs.interpreter.pad_circular(inputs, list(widths))
        return func(*args, **kwargs)


def _read(planes: tuple[Tensor, ...], template: Reach, tensor: Tensor) -> Reach:
    windows = tuple(_window(plane, tensor).clone() for plane in planes)
    return found(replace(template, planes=windows), tensor.shape)


def _window(plane: Tensor, tensor: Tensor) -> Tensor:
    entries = plane.shape[1]
    return plane.as_strided((len(plane), *tensor.shape), (entries, *tensor.stride()), tensor.storage_offset())


def _geometry(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _tensors(args: Iterable[Any], kwargs: dict[str, Any]) -> Iterable[Tensor]:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (part for part in value if isinstance(part, Tensor))


def _replace(values: Any, stand_ins: dict[int, Tensor]) -> Any:
    if isinstance(values, Tensor):
        return stand_ins[id(values)]
    if isinstance(values, dict):
        return {key: _replace(value, stand_ins) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_replace(value, stand_ins) for value in values)
    return values


def _bind(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give every argument its name in the schema, with defaults where it was left out."""
    bound: dict[str, Any] = {}
    for position, argument in enumerate(func._schema.arguments):
        if position < len(args):
            bound[argument.name] = args[position]
        else:
            bound[argument.name] = kwargs.get(argument.name, argument.default_value)
    return bound


def _picks_by_mask(name: str, args: tuple[Any, ...]) -> bool:
    """Tell whether as many entries are taken as a mask has set that depends on the image."""
    masks = args[1] if name == "index" else []
    return any(isinstance(mask, Seen) and mask.dtype in (torch.bool, torch.uint8) for mask in masks)


def _line() -> str:
    """Give the file and line of the user's code that made the call."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_NOT_THE_USERS):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "unknown"
