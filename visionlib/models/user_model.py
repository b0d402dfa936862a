"""A user's own network, named `package.module:function` and imported from where the user stands."""

import contextlib
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from torch import nn

from visionlib.errors import ModelError


def import_builder(name: str) -> Callable[..., object]:
    """Import what `package.module:function` names, with the current directory on the path.

    Raises:
        ModelError: if the name is not of that form, there is no such module or function, or the import raised.
    """
    module_name, _, function_name = name.partition(":")
    if not function_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ModelError(name, "is not of the form package.module:function", "such as my_models.tiny:build")
    module = _import_module(name, module_name)
    builder: object = getattr(module, function_name, None)
    if not callable(builder):
        callables = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        close = difflib.get_close_matches(function_name, callables) or sorted(callables)[:5]
        raise ModelError(
            name,
            f"module {module_name} has no function {function_name}",
            f"name one that it has: {', '.join(close)}" if close else f"write it in {module.__file__}",
        )
    return builder


def call_builder(name: str, builder: Callable[..., object], *, classes: int, channels: int) -> nn.Module:
    """Call a user's function with `classes` and `channels`, as far as it takes them.

    Raises:
        ModelError: if it raised, or returned something that is no `nn.Module`.
    """
    arguments = _accepted_arguments(builder, {"classes": classes, "channels": channels})
    call = f"{name.partition(':')[2]}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
    try:
        with _current_directory_on_path():
            model = builder(**arguments)
    except Exception as error:  # whatever a user's code raises
        problem = f"{call} raised {type(error).__name__}: {error}"
        raise ModelError(name, problem, "fix the function; --debug shows where it raised") from error
    if not isinstance(model, nn.Module):
        raise ModelError(name, f"{call} returned a {type(model).__name__}", "it must return a torch.nn.Module")
    return model


def _import_module(name: str, module_name: str) -> ModuleType:
    try:
        with _current_directory_on_path():
            return importlib.import_module(module_name)
    except Exception as error:  # whatever a user's code raises while it is imported
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and f"{module_name}.".startswith(f"{absent}."):
            remedy = f"run from the folder that holds it (this is {Path.cwd()}), or install it"
            raise ModelError(name, f"there is no module {absent}", remedy) from error
        problem = f"importing {module_name} raised {type(error).__name__}: {error}"
        raise ModelError(name, problem, "fix the module; --debug shows where it raised") from error


def _accepted_arguments(builder: Callable[..., object], offered: dict[str, int]) -> dict[str, int]:
    """Keep the arguments that the signature has a keyword for."""
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError:  # written in C without a signature
        return offered
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return offered
    by_keyword = {p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
    return {key: value for key, value in offered.items() if key in by_keyword}


@contextlib.contextmanager
def _current_directory_on_path() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    # Finders remember what a folder held: a file that was written a moment ago would be missed.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it off
            sys.path.remove(here)
