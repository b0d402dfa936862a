"""Calls of ATen operations: their arguments by name, and kinds of them that need care."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from visionlib.summary.traced_tensor import TracedTensor


def plain_name(func: Any) -> str:
    """Name of an operation without its overload; an in-place form has the name of the other."""
    name: str = func.overloadpacket.__name__
    return name if name.startswith("__") else name.rstrip("_")


def is_view(func: Any) -> bool:
    """Whether an operation returns views of its argument."""
    returns = func._schema.returns
    return (
        bool(returns)
        and not func._schema.is_mutable
        and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    )


def substitute(values: Any, replacements: dict[int, Tensor]) -> Any:
    """Replace every tensor by the one of its id."""
    if isinstance(values, Tensor):
        return replacements[id(values)]
    if isinstance(values, dict):
        return {key: substitute(value, replacements) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(substitute(value, replacements) for value in values)
    return values


def bind(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Map the argument names of the schema to values, defaults included."""
    named = {argument.name: kwargs.get(argument.name, argument.default_value) for argument in func._schema.arguments}
    return {**named, **{argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}}


def indexes_by_mask(name: str, args: tuple[Any, ...]) -> bool:
    """Whether the output size depends on a mask that depends on the image."""
    masks = args[1] if name == "index" else []
    return any(isinstance(mask, TracedTensor) and _is_mask(mask) for mask in masks)


def number_masks(args: tuple[Any, ...], is_traced: Callable[[Tensor], bool]) -> tuple[Any, ...]:
    """Replace constant masks in an indexing by the numbers of their elements: without its values a mask has no size."""
    constant = [_is_mask(index) and not is_traced(index) for index in args[1]]
    if not any(constant):
        return args
    indices: list[Tensor | None] = []
    for index, is_constant in zip(args[1], constant, strict=True):
        indices += index.nonzero(as_tuple=True) if is_constant else [index]
    return (args[0], indices, *args[2:])


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)
