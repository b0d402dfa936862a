"""Receptive fields of memory that is written to in place.

Requirements: after a write through a view, every tensor that shares the memory has the new fields; a write into a plain
tensor, such as `torch.empty`, gives it fields. Most memory is never written to through a view, so that fields belong to
tensors at first. The first such write copies them into one table for all elements of the storage; from then on tensors
read their fields from the table by their strides, as they read values from memory. Their strides also show which of
their dimensions hold positions: those that step through the same memory as a dimension of a written tensor.
"""

import weakref
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from visionlib.summary.receptive_fields import NOTHING, Dimension, ReceptiveFields, infer_dimensions
from visionlib.summary.traced_tensor import TracedTensor, inner_of

_Motion: TypeAlias = tuple[int, int, frozenset[int]]
"""Stride of a dimension, stride times size, and the axes along which its fields move."""


@dataclass(frozen=True, eq=False)
class _Storage:
    """Fields of a storage.

    Attributes:
        bounds: per image axis a tensor of shape (rows, real numbers in the storage).
        tensor: holds the storage, so that its address is not given to another.
        template: for the image size and other properties of the fields.
        motions: of the dimensions of all tensors that were written into it.
    """

    bounds: tuple[Tensor, ...]
    tensor: Tensor
    template: ReceptiveFields
    motions: set[_Motion]


class StorageFields:
    """Receptive fields of all traced tensors, and of plain tensors into which some were written."""

    def __init__(self) -> None:
        self._tensors: weakref.WeakSet[TracedTensor] = weakref.WeakSet()
        self._written: dict[int, _Storage] = {}

    def add(self, tensor: TracedTensor) -> None:
        """Register a new tensor, which shares later writes to its memory."""
        self._tensors.add(tensor)

    def is_written(self, tensor: Tensor) -> bool:
        """Whether the fields of a tensor's memory are kept per element of its storage."""
        return bool(self._written) and _key(tensor) in self._written

    def read(self, tensor: Tensor) -> ReceptiveFields | None:
        """Receptive fields of a tensor; None if it does not depend on the image."""
        if not self.is_written(tensor):
            return tensor.own_fields if isinstance(tensor, TracedTensor) else None
        storage, inner = self._written[_key(tensor)], inner_of(tensor)
        bounds = tuple(_view_like(inner, bound).amax(-1) for bound in storage.bounds)
        return infer_dimensions(
            replace(storage.template, bounds=bounds), inner.shape, _possible_dims(inner, storage.motions, len(bounds))
        )

    def write(self, target: Tensor, fields: ReceptiveFields | None) -> None:
        """Give a tensor, and all that share its memory, other fields; None for constants."""
        key, inner = _key(target), inner_of(target)
        template = fields
        if key in self._written:
            template = fields or self._written[key].template
        else:
            aliases = self._aliases(key) if isinstance(target, TracedTensor) else []
            if aliases and all(_layout(alias.inner_tensor) == _layout(inner) for alias in aliases):
                for alias in aliases:
                    alias.own_fields = fields
                return
            template = fields or next((alias.own_fields for alias in aliases if alias.own_fields is not None), None)
            if template is None:
                return
            self._written[key] = _allocate(inner, template, aliases)
        assert template is not None
        storage = self._written[key]
        for bound, source in zip(storage.bounds, template.bounds, strict=True):
            written = torch.full((), NOTHING) if fields is None else source.expand(-1, *inner.shape)[..., None]
            _view_like(inner, bound).copy_(written)
        if fields is not None:
            storage.motions.update(_motions(inner, fields))

    def _aliases(self, key: int) -> list[TracedTensor]:
        return [tensor for tensor in self._tensors if _key(tensor) == key]


def _allocate(inner: Tensor, template: ReceptiveFields, aliases: list[TracedTensor]) -> _Storage:
    """Make the table of a storage, filled with the fields that its tensors have so far."""
    elements = inner.untyped_storage().nbytes() // inner.element_size() * _numbers(inner)
    bounds = tuple(torch.full((bound.shape[0], elements), NOTHING) for bound in template.bounds)
    motions: set[_Motion] = set()
    for alias in aliases:
        if alias.own_fields is not None:
            for bound, source in zip(bounds, alias.own_fields.bounds, strict=True):
                _view_like(alias.inner_tensor, bound).copy_(source.expand(-1, *alias.inner_tensor.shape)[..., None])
            motions.update(_motions(alias.inner_tensor, alias.own_fields))
    return _Storage(bounds, inner, template, motions)


def _motions(tensor: Tensor, fields: ReceptiveFields) -> set[_Motion]:
    """The motions of all dimensions of a tensor with more than one element; channels have no axes."""
    motions: set[_Motion] = set()
    for stride, size, dimension in zip(_strides(tensor), tensor.shape, fields.dims, strict=True):
        high = stride * size
        for part, axes in dimension.parts or ((size, dimension.axes),):
            if part > 1:
                motions.add((high // part, high, axes))
            high //= part
    return motions


def _possible_dims(tensor: Tensor, motions: set[_Motion], count: int) -> list[Dimension]:
    """Per dimension, the axes of the motions that step through the same memory.

    Along a dimension that no written tensor had, such as that of the steps of a recurrent layer written one by one, the
    fields may move along every axis that no motion has.
    """
    others = frozenset(range(count)).difference(*(axes for _, _, axes in motions))
    possible = []
    for stride, size in zip(_strides(tensor), tensor.shape, strict=True):
        same = [axes for low, high, axes in motions if max(low, stride) < min(high, stride * size)]
        possible.append(Dimension(frozenset[int]().union(*same) if same else others))
    return possible


def _key(tensor: Tensor) -> int:
    return int(inner_of(tensor).untyped_storage()._cdata)


def _view_like(tensor: Tensor, bound: Tensor) -> Tensor:
    """View the bounds of a storage by the shape and strides of one of its tensors, and its numbers per element."""
    count = _numbers(tensor)
    shape, strides = (len(bound), *tensor.shape, count), (bound.shape[1], *_strides(tensor), 1)
    return bound.as_strided(shape, strides, tensor.storage_offset() * count)


def _strides(tensor: Tensor) -> tuple[int, ...]:
    return tuple(stride * _numbers(tensor) for stride in tensor.stride())


def _numbers(tensor: Tensor) -> int:
    """Real numbers in an element: a view of complex numbers as real ones has them one by one."""
    return 2 if tensor.is_complex() else 1


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()
