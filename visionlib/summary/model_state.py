"""Restore everything that a forward pass can change in a model: tensors, attributes, hooks, modes, generators.

`visionlib.eval_mode` leaves attributes to the model, which may record what its user wants. Here the model runs on
tensors without values, of which nothing may stay behind. So everything within reach of the model is recorded: through
containers, objects of the user's own classes, and the variables of hooks.
"""

import contextlib
import operator
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CellType, MappingProxyType, MethodType, NoneType, SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from visionlib.summary.process_state import list_global_hooks, preserve_process
from visionlib.summary.tensor_state import TensorState, WrittenMemory

_MOST_OBJECTS = 200_000
"""A network that holds a whole data set is not searched further: its own parts come first."""
_IMMUTABLE = frozenset({int, float, bool, complex, str, bytes, NoneType, torch.dtype, torch.device, torch.Size})
_FOREIGN = frozenset({*sys.stdlib_module_names, "torch", "numpy"})
"""Top-level modules whose objects keep their own state, such as locks, queues and loggers."""

_Restore: TypeAlias = Callable[[], None]


@contextlib.contextmanager
def preserve_state(model: nn.Module, memory: WrittenMemory) -> Iterator[None]:
    """Run the block in eval mode; then restore the model and the settings of the process.

    Args:
        model: the model.
        memory: takes copies of the memory that the block writes to.
    """
    modes = [(module, module.training) for module in model.modules()]
    hook_variables = [cell for module, _ in modes for cell in _list_hook_variables(module)]
    with preserve_process():
        state = _State([model, *model.parameters(), *model.buffers(), *list_global_hooks(), *hook_variables])
        for module, _ in modes:
            module.training = False
        try:
            yield
        finally:
            _run_all((memory.restore, *state.restores(), partial(_restore_modes, modes)))


def _list_hook_variables(module: nn.Module) -> Iterator[CellType]:
    """Variables of the functions around hooks, where they keep what they see."""
    for key, hooks in vars(module).items():
        if key.endswith("_hooks") and isinstance(hooks, dict):
            for hook in hooks.values():
                yield from getattr(hook, "__closure__", None) or ()


class _State:
    """Record of all objects within reach of some roots.

    Most containers of a network are empty, and most of its objects never change. One entry for each would cost more
    than the forward pass.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self._empty: list[Any] = []
        self._restores: list[_Restore] = []
        kinds: dict[type, _Kind | None] = {}
        pending, seen = deque(roots), set[int]()
        with torch._C.DisableTorchFunctionSubclass():  # uninitialized parameters refuse most functions
            while pending and len(seen) < _MOST_OBJECTS:
                value = pending.popleft()
                cls = type(value)
                if cls in _IMMUTABLE or id(value) in seen:
                    continue
                seen.add(id(value))
                if cls in _CONTAINERS and not value:
                    self._empty.append(value)
                    continue
                if cls not in kinds:
                    kinds[cls] = _find_kind(cls)
                if (kind := kinds[cls]) is not None:
                    pending.extend(self._record(value, *kind))

    def _record(self, value: Any, make: "_Maker | None", parts: Callable[[Any], Iterable[Any]]) -> Iterable[Any]:
        try:
            if make is not None and (restore := make(value)) is not None:
                self._restores.append(restore)
            return list(parts(value))
        except Exception:  # an object of the user's that cannot be read
            return ()

    def restores(self) -> Iterator[_Restore]:
        """Functions that restore what was recorded, the innermost objects first."""
        yield from reversed(self._restores)
        yield self._clear

    def _clear(self) -> None:
        for container in self._empty:
            if container:
                container.clear()


def _run_all(restores: Iterable[_Restore]) -> None:
    """Restore as much as possible, and raise the first failure."""
    failures: list[Exception] = []
    for restore in restores:
        try:
            restore()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        if module.training != mode:
            module.training = mode


def _restore_class(module: nn.Module, cls: type[nn.Module]) -> None:
    if type(module) is not cls:
        module.__class__ = cls  # a lazy module becomes another


def _restore_dict(container: dict[Any, Any], content: dict[Any, Any]) -> None:
    """Restore items and their order; an unchanged dict is not written to, as other threads may read it."""
    if _is_same(container.values(), content.values()) and list(container) == list(content):
        return
    for key in [key for key in container if key not in content]:
        del container[key]
    container.update(content)
    if list(container) != list(content):
        container.clear()
        container.update(content)


def _restore_sequence(container: Any, content: list[Any]) -> None:
    if not _is_same(container, content):
        container.clear()
        container.extend(content)


def _restore_set(container: set[Any], content: set[Any]) -> None:
    if container != content:
        container.clear()
        container.update(content)


def _restore_cell(cell: CellType, content: Any) -> None:
    if _content(cell) is not content:
        cell.cell_contents = content


def _restore_array(array: Any, content: Any) -> None:
    if array.tobytes() != content.tobytes():
        array[...] = content


def _content(cell: CellType) -> Any:
    """Content of a variable of an enclosing function; None if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _is_same(values: Iterable[Any], others: Iterable[Any]) -> bool:
    a, b = list(values), list(others)
    return len(a) == len(b) and all(map(operator.is_, a, b))


def _record_array(array: Any) -> _Restore | None:
    return partial(_restore_array, array, array.copy()) if array.flags.writeable else None


def _record_python_generator(generator: random.Random) -> _Restore | None:
    if isinstance(generator, random.SystemRandom):
        return None
    return partial(generator.setstate, generator.getstate())


def _parts_of_tensor(tensor: Tensor) -> Iterable[Any]:
    grad = tensor.grad if tensor.is_leaf else None
    return grad, tensor._backward_hooks, tensor._post_accumulate_grad_hooks, vars(tensor)


_Maker: TypeAlias = Callable[[Any], _Restore | None]
_Kind: TypeAlias = tuple[_Maker | None, Callable[[Any], Iterable[Any]]]
_CONTAINERS = frozenset({dict, OrderedDict, list, set, deque})
_KINDS: Mapping[Any, _Kind] = MappingProxyType(
    {
        dict: (lambda value: partial(_restore_dict, value, dict(value)), lambda value: value.values()),
        list: (lambda value: partial(_restore_sequence, value, list(value)), lambda value: value),
        deque: (lambda value: partial(_restore_sequence, value, list(value)), lambda value: value),
        set: (lambda value: partial(_restore_set, value, set(value)), lambda value: value),
        tuple: (None, lambda value: value),
        frozenset: (None, lambda value: value),
        Tensor: (lambda value: TensorState.of(value).restore, _parts_of_tensor),
        nn.Module: (lambda value: partial(_restore_class, value, type(value)), lambda value: (vars(value),)),
        CellType: (lambda value: partial(_restore_cell, value, _content(value)), lambda value: (_content(value),)),
        MethodType: (None, lambda value: (value.__self__,)),
        partial: (None, lambda value: (value.func, value.args, value.keywords)),
        SimpleNamespace: (None, lambda value: (vars(value),)),
        np.ndarray: (_record_array, lambda _: ()),
        torch.Generator: (lambda value: partial(value.set_state, value.get_state()), lambda _: ()),
        np.random.Generator: (
            lambda value: partial(setattr, value.bit_generator, "state", value.bit_generator.state),
            lambda _: (),
        ),
        np.random.RandomState: (lambda value: partial(value.set_state, value.get_state()), lambda _: ()),
        random.Random: (_record_python_generator, lambda _: ()),
    }
)
"""Type -> function that records a value and returns the one that restores it, and function that lists its parts."""


def _find_kind(cls: type) -> _Kind | None:
    for base, kind in _KINDS.items():
        if issubclass(cls, base):
            return kind
    is_own = cls.__module__.split(".")[0] not in _FOREIGN
    return (None, lambda value: (vars(value),) if hasattr(value, "__dict__") else ()) if is_own else None
