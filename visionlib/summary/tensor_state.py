"""Restore tensors that a forward pass has written to, resized, or given other memory.

Requirements:
- values, shape, strides, storage, version, class, `requires_grad`, `grad` and hooks are as before, and shared memory is
  still shared;
- no copy of all weights: most networks write to none of them.

So memory is copied right before the first write to it, and of each tensor only an alias is kept.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_UNDECLARED_WRITES = frozenset(
    (operation, argument)
    for operation in ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm")
    for argument in ("running_mean", "running_var")
)
"""Arguments that an operation writes to although its schema does not say so."""
_UNDECLARED = frozenset(operation for operation, _ in _UNDECLARED_WRITES)


class WrittenMemory:
    """Copies of the memory from before a run, each made before the first write to it."""

    def __init__(self) -> None:
        self._copies: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage | None, int]] = {}
        self._without_storage: dict[int, tuple[Tensor, Tensor]] = {}
        self._new: set[int] = set()

    def add_new(self, results: Any) -> None:
        """Take note of memory that the run has allocated: it needs no copy."""
        for tensor in results if isinstance(results, list | tuple) else (results,):
            if isinstance(tensor, Tensor) and _has_storage(tensor):
                self._new.add(tensor.untyped_storage()._cdata)

    def back_up_written(self, func: Any, values: dict[str, Any]) -> None:
        """Copy the memory that an operation is about to write to.

        Args:
            func: the operation.
            values: its arguments by their names in the schema.
        """
        name = func.overloadpacket.__name__
        for argument in func._schema.arguments:
            is_written = argument.alias_info is not None and argument.alias_info.is_write
            if is_written or (name, argument.name) in _UNDECLARED_WRITES:
                value = values[argument.name]
                for tensor in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(tensor, Tensor):
                        self.back_up(tensor)

    def back_up(self, tensor: Tensor) -> None:
        """Copy the memory of a tensor, unless the run has allocated it."""
        if not _has_storage(tensor):
            if _is_plain(tensor):
                self._without_storage.setdefault(id(tensor), (tensor, tensor.clone()))
            return
        storage = tensor.untyped_storage()
        if storage._cdata not in self._new and storage._cdata not in self._copies:
            copy = None if tensor.is_meta else storage.clone()  # type: ignore[no-untyped-call]
            self._copies[storage._cdata] = (storage, copy, storage.nbytes())

    def restore(self) -> None:
        """Restore size and content of all that was copied."""
        for storage, copy, size in self._copies.values():
            if storage.nbytes() != size:
                storage.resize_(size)
            if copy is not None:
                storage.copy_(copy)
        for tensor, clone in self._without_storage.values():
            tensor.data = clone


def writes(func: Any) -> bool:
    """Whether an operation writes to one of its arguments."""
    return bool(func._schema.is_mutable) or func.overloadpacket.__name__ in _UNDECLARED


@dataclass(frozen=True, eq=False, slots=True)
class TensorState:
    """A tensor as it was before a run, except for its values.

    Attributes:
        tensor: the tensor.
        kind: its class, which lazy parameters change.
        alias: another tensor of the same memory, shape and strides; None if only its class knows where its memory is.
        has_gradient: its `requires_grad`.
        version: count of its in-place changes, by which autograd finds stale values; None in inference mode.
        grad: its gradient.
        hooks: the container of the hooks on its gradient.
        later_hooks: that of the hooks after its gradient was added up.
    """

    tensor: Tensor
    kind: type[Tensor]
    alias: Tensor | None
    has_gradient: bool
    version: int | None
    grad: Tensor | None
    hooks: Any
    later_hooks: Any

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorState":
        """Record a tensor."""
        return cls(
            tensor=tensor,
            kind=type(tensor),
            alias=tensor.data if _is_plain(tensor) else None,
            has_gradient=tensor.requires_grad,
            version=None if tensor.is_inference() else tensor._version,
            grad=tensor.grad if tensor.is_leaf else None,
            hooks=tensor._backward_hooks,
            later_hooks=tensor._post_accumulate_grad_hooks,
        )

    def restore(self) -> None:
        """Restore everything but the values, which `WrittenMemory` restores before."""
        with torch._C.DisableTorchFunctionSubclass():
            self._restore()

    def _restore(self) -> None:
        tensor = self.tensor
        if self.alias is not None and not _is_same_view(tensor, self.alias):
            tensor.data = self.alias
        if tensor.is_leaf and tensor.requires_grad != self.has_gradient:
            tensor.requires_grad = self.has_gradient
        if tensor.is_leaf and tensor.grad is not self.grad:
            tensor.grad = self.grad
        if tensor._backward_hooks is not self.hooks:
            tensor._backward_hooks = self.hooks
        if tensor._post_accumulate_grad_hooks is not self.later_hooks:
            tensor._post_accumulate_grad_hooks = self.later_hooks
        if self.version is not None and tensor._version != self.version:
            # The values are those of that version again.
            torch._C._autograd._unsafe_set_version_counter((tensor,), (self.version,))
        if type(tensor) is not self.kind:
            tensor.__class__ = self.kind


def _is_plain(tensor: Tensor) -> bool:
    """Whether PyTorch itself keeps the values of a tensor, and not a subclass with a dispatch of its own."""
    return type(tensor).__torch_dispatch__ == torch.Tensor.__torch_dispatch__


def _has_storage(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and _is_plain(tensor) and not tensor.is_nested


def _is_same_view(a: Tensor, b: Tensor) -> bool:
    if not (_has_storage(a) and _has_storage(b)):
        return a.layout == b.layout  # `WrittenMemory` restores its values
    return (
        a.untyped_storage()._cdata == b.untyped_storage()._cdata
        and a.storage_offset() == b.storage_offset()
        and a.stride() == b.stride()
        and a.size() == b.size()
        and a.dtype == b.dtype
    )
