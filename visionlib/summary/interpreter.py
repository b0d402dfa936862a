"""Abstract interpreter: run a model on shapes and receptive fields instead of values.

Requirements:
- any `nn.Module` that runs: functional calls, views, in-place writes, einsum and attention included;
- no arithmetic with the weights, no memory for activations;
- an unknown operation is refused or listed, never silently wrong;
- weights and buffers that the model writes to are restored.

So the interpreter works below the modules, on the ATen operations that PyTorch dispatches. The image is a
`TracedTensor`, which has a shape and receptive fields and no values. An operation on one infers its output shape on the
meta device, and a rule gives the output's fields. Operations on other tensors run as they are: masks and indices keep
their values.
"""

import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import global_decomposition_table
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from visionlib.errors import ModelError
from visionlib.summary.macs import count_macs, has_macs
from visionlib.summary.meta_shapes import infer_outputs
from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import ReceptiveFields
from visionlib.summary.rules.masks import find_masked
from visionlib.summary.rules.pointwise import pointwise
from visionlib.summary.rules.table import RULES
from visionlib.summary.storage_fields import StorageFields
from visionlib.summary.traced_tensor import TracedTensor, list_tensors
from visionlib.summary.windows import padded

_LIBRARY_PATHS = (
    f"{Path(torch.__file__).parent}{os.sep}",
    f"{Path(torch.__file__).parents[1] / 'jaxtyping'}{os.sep}",
    f"{Path(__file__).parent}{os.sep}",
    "<",
)
"""Files that are no user code: messages name the innermost line outside of them."""

_NEEDS_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique_dim"})
_UNDECLARED_WRITES = frozenset({("native_batch_norm", "running_mean"), ("native_batch_norm", "running_var")})
"""Arguments that an operation writes to although its schema does not say so."""


class NeedsValuesError(Exception):
    """The model needs the value of a tensor that depends on the image."""


class Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Trace receptive fields through every operation while the block runs.

    Args:
        model: its weights and buffers are backed up before the first write, for `restore`.
        device: device that traced tensors report.
        where: returns the module that runs now, for errors.
        count: takes the multiply-accumulates of each operation.
        note: takes a kind and a sentence about the module that runs now.
        with_values: compute values as well, for models that need them; shapes alone otherwise.
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
        self._backups: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._fields = StorageFields()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from the import of torch.compile, which takes a second."""
        return False

    def wrap(self, inner: Tensor, fields: ReceptiveFields | None) -> TracedTensor:
        """Make a traced tensor: an input of the model, or an output of an operation."""
        traced = TracedTensor(inner, fields, self.device, self.call)
        self._fields.add(traced)
        return traced

    def fields_of(self, tensor: Tensor) -> ReceptiveFields | None:
        """Receptive fields of a tensor; None if it does not depend on the image."""
        return self._fields.read(tensor)

    def restore(self) -> None:
        """Restore the weights and buffers that the run wrote to."""
        for storage, backup in self._backups.values():
            storage.copy_(backup)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.call(func, args, kwargs or {})

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace an operation on tensors that depend on the image; run any other as it is."""
        tensors = list(list_tensors(args, kwargs))
        # A view of a written plain tensor is a plain tensor, too: it finds its fields by its memory.
        is_plain_view = _is_view(func) and not isinstance(next(iter(tensors), None), TracedTensor)
        if is_plain_view or not any(map(self._is_traced, tensors)):
            self._back_up(func, args, kwargs)
            result = func(*args, **kwargs)
            # Learned queries, position networks and hypernetworks multiply as well, without the image.
            if has_macs(name := _plain_name(func)):
                output = result if isinstance(result, Tensor) else result[0]
                self._count(count_macs(name, _bind(func, args, kwargs), output))
            return result
        if torch.Tag.inplace_view in func.tags:
            return self._view_in_place(func, args, kwargs)
        return self._trace(func, args, kwargs, tensors)

    def _view_in_place(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Give a tensor another shape, as `transpose_` does: nothing is written, but its own sizes change."""
        target: Tensor = args[0]
        if not isinstance(target, TracedTensor):
            changed: Tensor = func(*args, **kwargs)
            return changed
        name = _plain_name(func)
        if not hasattr(torch.ops.aten, name) or name in {"resize", "set"}:
            raise self._no_rule(func, target.shape, "memory of another size")
        view = getattr(torch.ops.aten, name)(*args, **kwargs)
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
        target.inner_tensor, target.own_fields, target.masked = view.inner_tensor, view.own_fields, view.masked
        return target

    def _is_traced(self, tensor: Tensor) -> bool:
        return isinstance(tensor, TracedTensor) or self._fields.is_written(tensor)

    def _trace(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        name = _plain_name(func)
        if name == "_fused_sdp_choice":
            return 0  # the unfused attention, whose parts have rules
        if not self._with_values and (name in _NEEDS_VALUES or _indexes_by_mask(name, args)):
            raise NeedsValuesError(
                f"{self._where()} needs the value of a tensor that depends on the image ({_user_line()})"
            )
        if name in ("index", "index_put") and (found := self._find_masked(args)) is not args:
            return self.call(func, found, kwargs)
        if (decompose := _decomposition(func)) is not None:
            with self:
                return decompose(*args, **kwargs)
        inner = {id(tensor): self._inner_of(tensor) for tensor in tensors}
        inner_args, inner_kwargs = _substitute(args, inner), _substitute(kwargs, inner)
        values = _bind(func, inner_args, inner_kwargs)
        if self._with_values:
            self._back_up(func, args, kwargs)
            results = func(*inner_args, **inner_kwargs)
        else:
            if "device" in kwargs:
                inner_kwargs = {**inner_kwargs, "device": torch.device("meta")}
            try:
                results = infer_outputs(func, *inner_args, **inner_kwargs)
            except NotImplementedError:
                raise NeedsValuesError(
                    f"{self._where()} has an operation whose shape follows from values ({func.name()}, {_user_line()})"
                ) from None
        outputs = list(results) if isinstance(results, list | tuple) else [results]
        are_tensors = [isinstance(output, Tensor) for output in outputs]
        if not any(are_tensors) or (self._with_values and not all(are_tensors)):
            return results
        originals = {id(inner[id(tensor)]): tensor for tensor in tensors}
        operation = self._describe(name, values, outputs, originals)
        self._count(count_macs(operation.name, values, outputs[0]))
        wrapped = self._wrap_outputs(func, operation, originals)
        return type(results)(wrapped) if isinstance(results, list | tuple) else wrapped[0]

    def _find_masked(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Replace constant masks among the indices by the indices of their elements: a mask without values has none."""
        if not any(map(_is_mask, args[1])):
            return args
        indices = [
            part
            for index in args[1]
            for part in (index.nonzero(as_tuple=True) if _is_mask(index) and not self._is_traced(index) else (index,))
        ]
        return (args[0], indices, *args[2:])

    def _describe(
        self, name: str, values: dict[str, Any], outputs: list[Tensor], originals: dict[int, Tensor]
    ) -> Operation:
        """Describe an operation for the rules; `originals` maps ids of inner tensors to the tensor arguments."""
        fields = {key: self.fields_of(tensor) for key, tensor in originals.items()}
        return Operation(
            name=name,
            values=values,
            fields_by_id={key: known for key, known in fields.items() if known is not None},
            constants={
                key: tensor for key, tensor in originals.items() if not (self._is_traced(tensor) or tensor.is_meta)
            },
            masked={
                key: tensor.masked
                for key, tensor in originals.items()
                if isinstance(tensor, TracedTensor) and tensor.masked is not None
            },
            outputs=outputs,
            note=self._note,
        )

    def _wrap_outputs(self, func: Any, operation: Operation, originals: dict[int, Tensor]) -> list[Tensor]:
        """Give the outputs their fields; an in-place operation returns its own argument."""
        result = self._rule(func, operation)(operation) if operation.fields_by_id else None
        if result is None or isinstance(result, ReceptiveFields):
            result = [result] * len(operation.outputs)
        wrapped: list[Tensor] = []
        for output, fields in zip(operation.outputs, result, strict=True):
            original = originals.get(id(output))
            if original is not None:
                self._fields.write(original, fields)
            wrapped.append(self.wrap(output, fields) if original is None else original)
        if isinstance(wrapped[0], TracedTensor):
            wrapped[0].masked = find_masked(operation)
        return wrapped

    def _rule(self, func: Any, operation: Operation) -> Callable[[Operation], RuleResult]:
        if (rule := RULES.get(operation.name)) is not None:
            return rule
        if torch.Tag.pointwise in func.tags:
            return pointwise
        shape = operation.first.shape
        if all(output.shape == shape for output in operation.outputs):
            self._note("assumed", f"{func.name()} was assumed to be elementwise")
            return pointwise
        raise self._no_rule(func, shape, " and ".join(str(tuple(output.shape)) for output in operation.outputs))

    def _no_rule(self, func: Any, shape: Sequence[int], result: str) -> ModelError:
        return ModelError(
            self._where(),
            f"{func.name()} ({_user_line()}) maps {tuple(shape)} to {result} and has no receptive-field rule",
            "request a rule for it, or use known operations instead",
        )

    def _inner_of(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, TracedTensor):
            return tensor.inner_tensor
        if self._with_values:
            return tensor.view_as(tensor) if tensor.layout == torch.strided else tensor
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    def _back_up(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Copy a weight or buffer before the first write to it."""
        name = func.overloadpacket.__name__
        if not func._schema.is_mutable and not any(name == operation for operation, _ in _UNDECLARED_WRITES):
            return
        values = _bind(func, args, kwargs)
        for argument in func._schema.arguments:
            is_written = argument.alias_info is not None and argument.alias_info.is_write
            if not is_written and (name, argument.name) not in _UNDECLARED_WRITES:
                continue
            for tensor in list_tensors((values[argument.name],), {}):
                storage = tensor.untyped_storage()
                if storage._cdata in self._owned and storage._cdata not in self._backups:
                    self._backups[storage._cdata] = (storage, storage.clone())  # type: ignore[no-untyped-call]


class CircularPadding(TorchFunctionMode):
    """Trace circular padding as one operation.

    PyTorch composes it of copies into slices, which lose the field on an image without border.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        super().__init__()
        self._interpreter = interpreter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "pad" and "circular" in (*args[2:], kwargs.get("mode")):
            inputs = args[0] if args else kwargs["input"]
            widths = args[1] if len(args) > 1 else kwargs["pad"]
            if isinstance(inputs, TracedTensor):
                return self._pad(inputs, list(widths))
        return func(*args, **kwargs)

    def _pad(self, inputs: TracedTensor, widths: list[int]) -> TracedTensor:
        output = F.pad(inputs.inner_tensor, widths, mode="circular")
        fields = self._interpreter.fields_of(inputs)
        for number, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):
            dim = inputs.ndim - 1 - number  # widths begin with the last dimension
            windows = padded(inputs.shape[dim], before, after, "circular")
            fields = None if fields is None else fields.apply_windows(dim, windows)
        return self._interpreter.wrap(output, fields)


def _plain_name(func: Any) -> str:
    """Name of an operation without its overload; an in-place form has the name of the other."""
    name: str = func.overloadpacket.__name__
    return name if name.startswith("__") else name.rstrip("_")


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return (
        bool(returns)
        and not func._schema.is_mutable
        and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    )


def _substitute(values: Any, replacements: dict[int, Tensor]) -> Any:
    """Replace every tensor by the one of its id."""
    if isinstance(values, Tensor):
        return replacements[id(values)]
    if isinstance(values, dict):
        return {key: _substitute(value, replacements) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_substitute(value, replacements) for value in values)
    return values


def _bind(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Map the argument names of the schema to values, defaults included."""
    named = {argument.name: kwargs.get(argument.name, argument.default_value) for argument in func._schema.arguments}
    return {**named, **{argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}}


def _indexes_by_mask(name: str, args: tuple[Any, ...]) -> bool:
    """Whether the output size depends on a mask that depends on the image."""
    masks = args[1] if name == "index" else []
    return any(isinstance(mask, TracedTensor) and _is_mask(mask) for mask in masks)


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _decomposition(func: Any) -> Callable[..., Any] | None:
    """PyTorch's own composition of an operation without a rule from others, such as of `rot90` from flips."""
    if _plain_name(func) in RULES or torch.Tag.pointwise in func.tags:
        return None
    return global_decomposition_table["post_autograd"].get(func)


def _user_line() -> str:
    """File and line of the user's code that called the operation."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_LIBRARY_PATHS):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "unknown"
