"""Restore everything that a forward pass can change in a model: tensors, attributes, hooks, modes, generators.

`visionlib.eval_mode` leaves attributes to the model, which may record what its user wants. Here the model runs on
tensors without values, of which nothing may stay behind, so that everything within reach of the model is recorded:
through containers, objects of the user's own classes, and the variables of hooks.
"""

import contextlib
import operator
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CellType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionlib.summary.process_state import list_global_hooks, preserve_process
from visionlib.summary.tensor_state import TensorState, WrittenMemory

_MOST_OBJECTS = 200_000
"""A network that holds a whole data set is not searched further: its own parts come first."""
_IMMUTABLE = (int, float, complex, str, bytes, type(None), type, ModuleType, torch.dtype, torch.device, torch.Size)
_FOREIGN = {*sys.stdlib_module_names, "torch", "numpy"}
"""Top-level modules whose objects keep their own state, such as locks, queues and loggers."""


@contextlib.contextmanager
def preserve_state(model: nn.Module, memory: WrittenMemory) -> Iterator[None]:
    """Run the block in eval mode; then restore the model and the settings of the process.

    Args:
        model: the model.
        memory: takes copies of the memory that the block writes to.
    """
    modules = [(module, module.training) for module in model.modules()]
    with preserve_process(), contextlib.ExitStack() as restored:
        # In reverse order: memory, tensors, then the containers that hold them. One failure does not stop the others.
        restored.callback(_restore_modes, modules)
        with torch._C.DisableTorchFunctionSubclass():  # uninitialized parameters refuse most functions
            roots = (model, *model.parameters(), *model.buffers(), *list_global_hooks())
            for restore in _record([*roots, *_hook_variables(module for module, _ in modules)]):
                restored.callback(restore)
        restored.callback(memory.restore)
        for module, _ in modules:
            module.training = False
        yield


def _restore_modes(modules: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modules:
        if module.training != mode:
            module.training = mode


def _hook_variables(modules: Iterable[nn.Module]) -> Iterator[CellType]:
    """Variables of the functions around hooks, where they keep what they see."""
    for module in modules:
        for key, hooks in vars(module).items():
            if key.endswith("_hooks") and isinstance(hooks, dict):
                for hook in hooks.values():
                    yield from getattr(hook, "__closure__", None) or ()


def _record(roots: Iterable[Any]) -> Iterator[Callable[[], None]]:
    """Record all objects within reach; each result restores one of them."""
    pending, seen = deque(roots), set[int]()
    while pending and len(seen) < _MOST_OBJECTS:
        value = pending.popleft()
        if isinstance(value, _IMMUTABLE) or id(value) in seen:
            continue
        seen.add(id(value))
        if (restore := _record_one(value)) is not None:
            yield restore
        pending.extend(_parts(value))


def _record_one(value: Any) -> Callable[[], None] | None:
    if isinstance(value, dict):
        return partial(_restore_dict, value, list(value.items()))
    if isinstance(value, list | deque):
        return partial(_restore_sequence, value, list(value))
    if isinstance(value, set):
        return partial(_restore_set, value, set(value))
    if isinstance(value, Tensor):
        return TensorState.of(value).restore
    if isinstance(value, nn.Module):
        return partial(_restore_class, value, type(value))
    if isinstance(value, CellType):
        return partial(_restore_cell, value, _content(value))
    if isinstance(value, np.ndarray):
        return partial(_restore_array, value, value.copy()) if value.flags.writeable else None
    return _record_generator(value)


def _record_generator(value: Any) -> Callable[[], None] | None:
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return partial(value.setstate, value.getstate())
    return None


def _parts(value: Any) -> Iterable[Any]:
    """Objects that an object holds."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset | deque):
        return value
    if isinstance(value, Tensor):
        return value.grad if value.is_leaf else None, value._backward_hooks, value._post_accumulate_grad_hooks, vars(value)
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, CellType):
        return (_content(value),)
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    is_own = isinstance(value, nn.Module | SimpleNamespace) or type(value).__module__.split(".")[0] not in _FOREIGN
    return (vars(value),) if is_own and hasattr(value, "__dict__") else ()


def _restore_dict(container: dict[Any, Any], items: list[tuple[Any, Any]]) -> None:
    """Restore items and their order; an unchanged dict is not written to, as other threads may read it."""
    if _is_same(container.values(), [value for _, value in items]) and list(container) == [key for key, _ in items]:
        return
    content = dict(items)
    for key in [key for key in container if key not in content]:
        del container[key]
    container.update(items)
    if list(container) != list(content):
        container.clear()
        container.update(items)


def _restore_sequence(container: Any, content: list[Any]) -> None:
    if not _is_same(container, content):
        container.clear()
        container.extend(content)


def _restore_set(container: set[Any], content: set[Any]) -> None:
    if container != content:
        container.clear()
        container.update(content)


def _restore_class(module: nn.Module, kind: type[nn.Module]) -> None:
    if type(module) is not kind:
        module.__class__ = kind  # a lazy module becomes another


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


def _is_same(values: Iterable[Any], others: list[Any]) -> bool:
    values = list(values)
    return len(values) == len(others) and all(map(operator.is_, values, others))
