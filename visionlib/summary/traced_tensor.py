"""`TracedTensor`: a tensor that depends on the image, with the receptive fields of its elements."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from visionlib.summary.receptive_fields import ReceptiveFields


class TracedTensor(Tensor):
    """A wrapper subclass without memory of its own; every operation on it goes to the interpreter.

    Attributes:
        inner_tensor: a tensor of the same shape: on the meta device, or with values if the model runs on values.
        own_fields: receptive fields of its elements, valid until its memory is written to through a view.
        masked: elements that a mask has set to minus infinity, or to zero by the softmax after it; None if none.
        dispatch: takes an operation, its arguments and its keyword arguments.
    """

    inner_tensor: Tensor
    own_fields: ReceptiveFields | None
    masked: Tensor | None
    dispatch: Callable[..., Any]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(
        cls, inner: Tensor, fields: ReceptiveFields | None, device: torch.device, dispatch: Callable[..., Any]
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
        traced.inner_tensor, traced.own_fields, traced.dispatch, traced.masked = inner, fields, dispatch, None
        return traced

    def __init__(self, *_: Any) -> None:
        super().__init__()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        traced = next(value for value in list_tensors(args, kwargs or {}) if isinstance(value, TracedTensor))
        return traced.dispatch(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"TracedTensor({tuple(self.shape)})"


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
