"""`TracedTensor`: a tensor that depends on the image, with the receptive fields of its elements."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from visionlib.summary.receptive_fields import ReceptiveFields


@runtime_checkable
class Tracer(Protocol):
    """The interpreter of operations on traced tensors."""

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace an operation."""

    def values_of(self, tensor: Tensor, reader: str) -> Tensor:
        """A tensor with values, for the function of that name."""


class TracedTensor(Tensor):
    """A wrapper subclass without memory of its own; every operation on it goes to the interpreter.

    The methods that PyTorch runs without an operation are its own. Gradients are not traced: hooks on them are ignored.

    Attributes:
        inner_tensor: a tensor of the same shape: on the meta device, or with values if the model runs on values.
        own_fields: receptive fields of its elements, valid until its memory is written to through a view.
        masked: elements that a mask has set to minus infinity, or to zero by the softmax after it; None if none.
        tracer: the interpreter.
    """

    inner_tensor: Tensor
    own_fields: ReceptiveFields | None
    masked: Tensor | None
    tracer: Tracer

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(
        cls, inner: Tensor, fields: ReceptiveFields | None, device: torch.device, tracer: Tracer
    ) -> "TracedTensor":
        """Wrap an inner tensor, and report `device` as its own."""
        traced = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=device,
        )
        traced.inner_tensor, traced.own_fields, traced.tracer, traced.masked = inner, fields, tracer, None
        return traced

    def __init__(self, *_: Any) -> None:
        super().__init__()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        traced = next(value for value in list_tensors(args, kwargs or {}) if isinstance(value, TracedTensor))
        return traced.tracer.call(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"TracedTensor({tuple(self.shape)})"

    def __format__(self, spec: str) -> str:
        return format(self.tracer.values_of(self, "format"), spec) if spec else repr(self)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self.clone()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.tracer.values_of(self, "pickle").__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.tracer.values_of(self, "numpy").__array__(dtype)  # type: ignore[no-untyped-call]

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.values_of(self, "dlpack").__dlpack__(*args, **kwargs)

    def numpy(self, *, force: bool = False) -> Any:
        """The values as an array."""
        return self.tracer.values_of(self, "numpy").numpy(force=force)

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.tracer.values_of(self, "tolist").tolist()

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Ignore a hook on the gradient."""
        return RemovableHandle(OrderedDict())

    def retain_grad(self) -> None:
        """Ignore that the gradient is to be kept."""


def inner_of(tensor: Tensor) -> Tensor:
    """The tensor whose memory a traced tensor stands for; any other tensor itself."""
    return tensor.inner_tensor if isinstance(tensor, TracedTensor) else tensor


def list_tensors(args: Iterable[Any], kwargs: dict[str, Any]) -> Iterable[Tensor]:
    """All tensors among the arguments, those in lists included."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (part for part in value if isinstance(part, Tensor))
