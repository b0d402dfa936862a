"""Abstract interpreter: run a model on shapes and receptive fields instead of values.

Requirements:
- any `nn.Module` that runs: functional calls, views, in-place writes, einsum and attention included;
- no arithmetic with the weights, no memory for activations;
- an unknown operation is refused or listed, never silently wrong;
- no memory from before the run is written to without a copy of it, from which it is restored.

So the interpreter works below the modules, on the ATen operations that PyTorch dispatches. The image is a
`TracedTensor`, which has a shape and receptive fields and no values. An operation on one infers its output shape on the
meta device, and a rule gives the output's fields. Operations on other tensors run as they are: masks and indices keep
their values.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from visionlib.errors import ModelError, VisionlibError
from visionlib.summary.aten_calls import bind, indexes_by_mask, is_view, number_masks, plain_name, substitute
from visionlib.summary.decompositions import find_decomposition, is_composite
from visionlib.summary.macs import count_macs, has_macs
from visionlib.summary.messages import describe_error, user_line
from visionlib.summary.meta_shapes import infer_outputs
from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import ReceptiveFields
from visionlib.summary.rules.masks import find_masked
from visionlib.summary.rules.pointwise import pointwise
from visionlib.summary.rules.table import RULES
from visionlib.summary.storage_fields import StorageFields
from visionlib.summary.tensor_state import WrittenMemory, writes
from visionlib.summary.traced_tensor import TracedTensor, inner_of, list_tensors

_REMEDY = "request a rule for it, or use known operations instead"
_NEEDS_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique_dim"})


class NeedsValuesError(Exception):
    """The model needs the value of a tensor that depends on the image."""


class Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Trace receptive fields through every operation while the block runs.

    Args:
        device: device that traced tensors report.
        where: returns the module that runs now, for errors.
        count: takes the multiply-accumulates of each operation.
        note: takes a kind and a sentence about the module that runs now.
        with_values: compute values as well, for models that need them; shapes alone otherwise.

    Attributes:
        memory: copies of the memory that the run has written to.
        needed: reason of the first `NeedsValuesError`, which the model may have caught; None if there was none.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        where: Callable[[], str],
        count: Callable[[int], None],
        note: Callable[[str, str], None],
        with_values: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.memory = WrittenMemory()
        self.needed: str | None = None
        self._where, self._count, self._note = where, count, note
        self.with_values = with_values
        self._fields = StorageFields()

    supports_higher_order_operators = True  # to refuse them by name

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from the import of torch.compile, which takes a second."""
        return False

    def wrap(self, inner: Tensor, fields: ReceptiveFields | None) -> TracedTensor:
        """Make a traced tensor: an input of the model, or an output of an operation."""
        traced = TracedTensor(inner, fields, self.device, self)
        self._fields.add(traced)
        return traced

    def fields_of(self, tensor: Tensor) -> ReceptiveFields | None:
        """Receptive fields of a tensor; None if it does not depend on the image."""
        return self._fields.read(tensor)

    def values_of(self, tensor: Tensor, reader: str) -> Tensor:
        """Values that are about to leave PyTorch through a function such as `numpy`."""
        if isinstance(tensor, TracedTensor) or self._is_traced(tensor):
            if not self.with_values:
                self._require_values()
            self._note("assumed", f"what is computed from the values that {reader} returned was assumed to be constant")
            return inner_of(tensor)
        with no_dispatch():
            self.memory.back_up(tensor)  # an array shares its memory
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, HigherOrderOperator):
            problem = f"{func} ({user_line()}) runs other functions, and has no receptive-field rule"
            raise ModelError(self._where(), problem, _REMEDY)
        if torch.is_inference_mode_enabled():
            # That mode does not decompose operations, and its tensors could not be used after it.
            with torch.inference_mode(False), torch.no_grad(), self:
                return func(*args, **(kwargs or {}))
        return self.call(func, args, kwargs or {})

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace an operation on tensors that depend on the image; run any other as it is."""
        with torch._C.DisableTorchFunction():  # `PythonFunctions` watches the model, not the interpreter
            return self._call(func, args, kwargs)

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = list(list_tensors(args, kwargs))
        # A view of a written plain tensor is a plain tensor, too: it finds its fields by its memory.
        is_plain_view = is_view(func) and not isinstance(next(iter(tensors), None), TracedTensor)
        if is_plain_view or not any(map(self._is_traced, tensors)):
            if is_composite(func):  # its parts are counted
                with self:
                    return func.decompose(*args, **kwargs)
            return self._run_plain(func, args, kwargs, is_view=is_plain_view)
        if (decompose := find_decomposition(func)) is not None:
            with self:
                return decompose(*args, **kwargs)
        if torch.Tag.inplace_view in func.tags and isinstance(args[0], TracedTensor):
            return self._change_view(func, args, kwargs)
        return self._trace(func, args, kwargs, tensors)

    def _is_traced(self, tensor: Tensor) -> bool:
        return isinstance(tensor, TracedTensor) or (tensor.layout == torch.strided and self._fields.is_written(tensor))

    def _run_plain(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_view: bool) -> Any:
        if writes(func):
            self.memory.back_up_written(func, bind(func, args, kwargs))
        results = func(*args, **kwargs)
        # Learned queries, position networks and hypernetworks multiply as well, without the image.
        if has_macs(name := plain_name(func)):
            output = results if isinstance(results, Tensor) else results[0]
            self._count(count_macs(name, bind(func, args, kwargs), output))
        if not is_view and not func._schema.is_mutable:
            self.memory.add_new(results)
        return results

    def _change_view(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Change the shape of a traced tensor in place, as by `transpose_`."""
        packet = getattr(torch.ops.aten, func.overloadpacket.__name__.rstrip("_"))
        functional = getattr(packet, func._overloadname if func._overloadname in packet.overloads() else "int")
        traced, view = args[0], self.call(functional, args, kwargs)
        with no_dispatch():
            func(*args, **kwargs)
        traced.inner_tensor, traced.own_fields, traced.masked = view.inner_tensor, view.own_fields, view.masked
        return traced

    def _trace(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        name = plain_name(func)
        if name == "_fused_sdp_choice":
            return 0  # the unfused attention, whose parts have rules
        if not self.with_values and (name in _NEEDS_VALUES or indexes_by_mask(name, args)):
            self._require_values()
        if name in {"index", "index_put"} and (numbered := number_masks(args, self._is_traced)) is not args:
            return self.call(func, numbered, kwargs)
        inner = {id(tensor): self._inner_of(tensor) for tensor in tensors}
        inner_args, inner_kwargs = substitute(args, inner), substitute(kwargs, inner)
        if self.with_values:
            if writes(func):
                self.memory.back_up_written(func, bind(func, args, kwargs))
            results = func(*inner_args, **inner_kwargs)
        else:
            if "device" in kwargs:
                inner_kwargs = {**inner_kwargs, "device": torch.device("meta")}
            try:
                results = infer_outputs(func, *inner_args, **inner_kwargs)
            except NotImplementedError:
                self._require_values(f"runs {func.name()}, whose output shape needs values")
        originals = {id(inner[id(tensor)]): tensor for tensor in tensors}
        try:
            return self._wrap_results(func, results, bind(func, inner_args, inner_kwargs), originals)
        except (VisionlibError, NeedsValuesError):
            raise
        except Exception as error:  # a mistake in a rule must not look like one of the model
            problem = f"{func.name()} ({user_line()}) has no receptive-field rule for these arguments"
            raise ModelError(self._where(), f"{problem} ({describe_error(error)})", _REMEDY) from error

    def _require_values(self, reason: str = "needs the value of a tensor that depends on the image") -> NoReturn:
        self.needed = self.needed or f"{self._where()} {reason} ({user_line()})"
        raise NeedsValuesError(self.needed)

    def _wrap_results(self, func: Any, results: Any, values: dict[str, Any], originals: dict[int, Tensor]) -> Any:
        """Give the results of an operation their fields; what is no tensor stays as it is."""
        listed = list(results) if isinstance(results, list | tuple) else [results]
        outputs = [result for result in listed if isinstance(result, Tensor)]
        if not outputs:
            return results
        if any(output.layout != torch.strided or output.is_nested for output in outputs):
            problem = f"{func.name()} ({user_line()}) makes a sparse or nested tensor, which has no receptive fields"
            raise ModelError(self._where(), problem, "use dense tensors")
        operation = self._describe(plain_name(func), values, outputs, originals)
        self._count(count_macs(operation.name, values, outputs[0]))
        wrapped = iter(self._wrap_outputs(func, operation, originals))
        replaced = [next(wrapped) if isinstance(result, Tensor) else result for result in listed]
        return type(results)(replaced) if isinstance(results, list | tuple) else replaced[0]

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
                if original.shape != output.shape:
                    self._resize(func, original, output)
                self._fields.write(original, fields)
            wrapped.append(self.wrap(output, fields) if original is None else original)
        if isinstance(wrapped[0], TracedTensor):
            wrapped[0].masked = find_masked(operation)
        return wrapped

    def _resize(self, func: Any, original: Tensor, output: Tensor) -> None:
        """Give a tensor that an operation writes to the shape of the result, as PyTorch does."""
        if isinstance(original, TracedTensor) or func.overloadpacket.__name__ == "set_":
            shapes = f"{tuple(original.shape)} in place to {tuple(output.shape)}"
            raise ModelError(self._where(), f"{func.name()} ({user_line()}) changes {shapes}", _REMEDY)
        self.memory.back_up(original)
        original.resize_(output.shape)

    def _rule(self, func: Any, operation: Operation) -> Callable[[Operation], RuleResult]:
        if (rule := RULES.get(operation.name)) is not None:
            return rule
        if torch.Tag.pointwise in func.tags:
            return pointwise
        shape = operation.first.shape
        # PyTorch's own elementwise operations are known; one of somebody else mostly is an activation.
        if func.namespace != "aten" and all(output.shape == shape for output in operation.outputs):
            self._note("assumed", f"{func.name()} was assumed to be elementwise")
            return pointwise
        shapes = " and ".join(str(tuple(output.shape)) for output in operation.outputs)
        raise ModelError(
            self._where(),
            f"{func.name()} ({user_line()}) maps {tuple(shape)} to {shapes} and has no receptive-field rule",
            _REMEDY,
        )

    def _inner_of(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, TracedTensor):
            return tensor.inner_tensor
        if self.with_values:
            return tensor.view_as(tensor) if tensor.layout == torch.strided else tensor
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
