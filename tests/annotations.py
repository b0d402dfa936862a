"""Check the annotations of visionlib while its tests run: types by beartype, and shapes by jaxtyping.

jaxtyping's import hook puts `jaxtyping.jaxtyped` on every function and dataclass. For the sake of its messages that
binds the arguments of each call in Python and checks the parameters twice, a quarter of the time of the tests. What
stands for it here makes the same checks once, and remembers the sizes of axes only where a signature has arrays.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

Function = Callable[..., Any]

check_annotations = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
"""Without shapes across arguments; an int may stand for a float, as PEP 484 has it."""

_jaxtyped = jaxtyping.jaxtyped
_own_axes = _jaxtyped("context")
"""Within it, the same name of an axis means the same size."""


def install() -> None:
    """Have the import hook take this decorator."""
    jaxtyping.jaxtyped = jaxtyped  # type: ignore[assignment]


def jaxtyped(
    context: Literal["context"] | None = None, *, typechecker: Callable[[Function], Function] = lambda item: item
) -> Any:
    """Decorate a function, before other decorators do, or a class, as the import hook does; or make a context."""
    if context is not None:
        return _own_axes

    def decorate(item: Any) -> Any:
        if not inspect.isclass(item):
            return _checked(item, typechecker)
        own = vars(item).get("__init__")
        if dataclasses.is_dataclass(item) and own is not None and own.__globals__ is not globals():
            item.__init__ = _checked(own, typechecker)  # type: ignore[method-assign]
        return item

    return decorate


def _checked(function: Function, typechecker: Callable[[Function], Function]) -> Function:
    hints = _resolve(function)
    arrays = [array for hint in hints.values() for array in _arrays_in(hint)]
    if any("{" in array.dim_str for array in arrays) or (arrays and inspect.isgeneratorfunction(function)):
        return _jaxtyped(function, typechecker=typechecker)  # which reads `{argument}` as a size, and runs no generator
    check: Function | None = None
    scope, config = _own_axes if arrays else None, jaxtyping.config

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal check
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        if check is None:  # made when it is needed: a test calls few of two thousand functions
            check = typechecker(_copy(function, hints))
        if scope is None:
            return check(*args, **kwargs)
        with scope:
            return check(*args, **kwargs)

    call.__code__ = _generated(call.__code__)  # type: ignore[attr-defined]
    return call


@functools.cache
def _generated(code: types.CodeType) -> types.CodeType:
    """Mark code as that of no file, like that of beartype: messages of the library name the line of its user."""
    return code.replace(co_filename="<annotations>")


def _resolve(function: Function) -> dict[str, Any]:
    """Give the annotations; anything goes where one names what is not there at run time."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:
        hints: dict[str, Any] = {}
        for name, hint in inspect.get_annotations(function).items():
            alone = types.SimpleNamespace(__annotations__={name: hint}, __globals__=function.__globals__)
            try:
                hints |= get_type_hints(alone, include_extras=True)
            except Exception:
                hints[name] = Any
        return hints


def _arrays_in(hint: Any) -> Iterator[type[jaxtyping.AbstractArray]]:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        yield hint
    for part in hint if isinstance(hint, list) else get_args(hint):
        yield from _arrays_in(part)


def _copy(function: Any, hints: dict[str, Any]) -> Function:
    """Copy a function with other annotations; those of the original remain as they are, for typer to read."""
    copied = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__, copied.__annotations__ = function.__kwdefaults__, hints
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    return copied
