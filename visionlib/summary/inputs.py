"""Inputs of a model by their sizes: one image, several arguments, or an argument that is itself a tuple or dict."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

from visionlib.errors import ConfigError

Size: TypeAlias = tuple[int, ...]
InputSize: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""A size, or nested sequences and dicts of sizes."""

_LONGEST_SIDE = 2**20
"""In pixels. Bounds are kept in single precision, and some rules add as much to them."""


@dataclass(frozen=True)
class Inputs:
    """Sizes of the arguments of `forward`, each a size or a nested tuple, list or dict of sizes.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, input_size: InputSize) -> "Inputs":
        """Read a size, a sequence of arguments, or a dict of keyword arguments.

        Raises:
            ConfigError: if one is no size, or is too large.
        """
        if isinstance(input_size, Mapping):
            inputs = cls(kwargs=input_size)
        else:
            is_several = isinstance(input_size, list | tuple) and not _is_size(input_size)
            inputs = cls(args=tuple(input_size) if is_several else (input_size,))
        leaves = list(inputs._leaves())
        if not leaves or not all(map(_is_valid, leaves)):
            raise ConfigError(
                "input_size",
                f"{input_size!r} is no size of an image",
                "give channels, height and width, such as (3, 32, 32), or one such size per input",
            )
        if (longest := max((side for size in inputs.sizes for side in size[1:]), default=0)) > _LONGEST_SIDE:
            raise ConfigError(
                "input_size", f"{longest} pixels on one side are too many", f"no side may exceed {_LONGEST_SIDE}"
            )
        return inputs

    @property
    def sizes(self) -> list[Size]:
        """All sizes, in the order of the arguments."""
        return [tuple(leaf) for leaf in self._leaves()]

    def _leaves(self) -> Iterator[Any]:
        for argument in (*self.args, *self.kwargs.values()):
            yield from _iterate(argument)

    def fit(self, model: nn.Module) -> "Inputs":
        """Pass several inputs as one tuple or dict where `forward` takes a single argument."""
        several = dict(self.kwargs) or self.args
        if len(self.args) == 1 or _takes(model, *self.args, **self.kwargs) or not _takes(model, several):
            return self
        return Inputs((several,))

    def make(self, make: Callable[[Size], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, with a tensor for each size."""
        return tuple(_map(make, part) for part in self.args), {
            key: _map(make, part) for key, part in self.kwargs.items()
        }


def _takes(model: nn.Module, *args: Any, **kwargs: Any) -> bool:
    """Whether `forward` can be called with such arguments; true if its signature is unknown."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _is_size(value: Any) -> bool:
    """Whether a value stands for a single input, valid or not."""
    is_listed = isinstance(value, list | tuple) and bool(value)
    return is_listed and not any(isinstance(part, list | tuple | Mapping) for part in value)


def _is_valid(size: Any) -> bool:
    return _is_size(size) and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size)


def _iterate(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _iterate(part)
    elif isinstance(value, list | tuple) and value and not _is_size(value):
        for part in value:
            yield from _iterate(part)
    else:
        yield value


def _map(make: Callable[[Size], Any], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _map(make, part) for key, part in value.items()}
    if _is_size(value):
        return make(tuple(value))
    parts = [_map(make, part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
