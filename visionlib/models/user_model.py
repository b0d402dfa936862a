"""A user-defined network: named as `package.module:NAME` or `file.py:NAME`, or passed in memory.

Names are resolved from the current directory. A run keeps the name; of a network in memory that no name leads to it
keeps `in-memory:NAME`, which cannot be built again.
"""

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from visionlib.errors import ModelError
from visionlib.runs import Run
from visionlib.runs.trust import refuse_untrusted

_IN_MEMORY = "in-memory:"  # no module can have this name
_CLASSES = ("numclasses", "nclasses", "nbclasses", "numclass", "nclass", "numlabels", "nlabels", "classes")
"""Names of an argument for the number of classes, in lower case and without underscores; the plainest one last, since
beside another it means something else, such as the names."""
_CHANNELS = ("inchannels", "inputchannels", "inchans", "inch", "numchannels", "nchannels", "channels")
"""Likewise for the images' channels; beside `in_channels`, `channels` is the width of a layer."""
_KEYWORDS = (
    ("classes", "channels"),
    ("num_classes", "in_channels"),
    ("num_classes", "channels"),
    ("num_classes", None),
    ("classes", None),
)
"""Keywords to try, in this order, on a function that takes any."""


def name_network(network: str | nn.Module | Callable[..., object]) -> str:
    """Return the name by which a run keeps a network: one that leads to it, or `in-memory:NAME`.

    A network that was built already has none that leads to it, since its arguments are not known; neither has what a
    script, a notebook or a function defines.
    """
    if isinstance(network, str):
        return network
    if isinstance(network, nn.Module):
        return f"{_IN_MEMORY}{type(network).__name__}"
    module_name, name = getattr(network, "__module__", None), getattr(network, "__qualname__", "")
    is_found = module_name != "__main__" and getattr(sys.modules.get(module_name or ""), name, None) is network
    if is_found and importlib.util.find_spec(str(module_name)) is not None:
        return f"{module_name}:{name}"
    inner = network.func if isinstance(network, functools.partial) else network
    return f"{_IN_MEMORY}{getattr(inner, '__name__', type(inner).__name__)}"


def is_in_memory(name: str) -> bool:
    """Return whether a run's name of its network leads to none."""
    return name.startswith(_IN_MEMORY)


def import_builder(name: str) -> Callable[..., object]:
    """Import what `package.module:NAME` or `file.py:NAME` names, with the current directory on the path.

    Raises:
        ModelError: if the name is not of that form, there is no such module, file or function, or the import raised.
    """
    module_name, _, function_name = name.rpartition(":")
    if is_in_memory(name):
        remedy = (
            "pass it again: TrainedModel.from_run(run, network=...), or resume(run, model=...); "
            "the next run can be trained with --model FILE.py:NAME"
        )
        raise ModelError(
            name, "this network was passed in memory, and a run keeps its weights without its code", remedy
        )
    is_file = module_name.endswith(".py")
    if not function_name.isidentifier() or not (is_file or all(map(str.isidentifier, module_name.split(".")))):
        remedy = "such as my_models.tiny:build, or file.py:function, such as my_models/tiny.py:build"
        raise ModelError(name, "is not of the form package.module:function", remedy, is_usage=True)
    module = _import_file(name, Path(module_name)) if is_file else _import_module(name, module_name)
    builder: object = getattr(module, function_name, None)
    if not callable(builder):
        callables = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        close = difflib.get_close_matches(function_name, callables) or sorted(callables)[:5]
        raise ModelError(
            name,
            f"module {module_name} has no function {function_name}",
            f"name one that it has: {', '.join(close)}" if close else f"write it in {module.__file__}",
            is_usage=True,
        )
    return builder


def refuse_strange_code(run: Run, name: str) -> None:
    """Refuse to import what a run names, unless this user trained it, or trusts it; and ever what lies within it.

    Raises:
        RunError: if the run is not trusted.
        ModelError: if the module or file lies in the run folder.
    """
    module_name = name.rpartition(":")[0]
    if not module_name or is_in_memory(name):
        return
    refuse_untrusted(run, "model", name, what=f"code to import: {name}", remedy="read that code")
    folder = run.path
    if module_name.endswith(".py"):
        files = [Path(module_name)]
    else:
        part = Path(*module_name.split("."))
        files = [Path(entry) / path for entry in ("", *sys.path) for path in (part.with_suffix(".py"), part)]
    if any(file.exists() and file.resolve().is_relative_to(folder.resolve()) for file in files):
        remedy = f"read it, and copy it out of {folder} if you trust it"
        raise ModelError(name, "this code lies in the run folder, from where none is executed", remedy)


def call_builder(name: str, builder: Callable[..., object], *, classes: int, channels: int) -> nn.Module:
    """Call a user's function or class with the number of classes and of channels, by the names that it has for them.

    Raises:
        ModelError: if it raised, or did not return an `nn.Module`.
    """
    function = name.rpartition(":")[2]
    error: Exception | None = None
    for arguments in _list_arguments(builder, classes, channels):
        call = f"{function}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
        try:
            with _on_path(_folder_of(name)):
                model = builder(**arguments)
        except TypeError as refusal:
            if "unexpected keyword" in str(refusal):
                error = error or refusal
                continue
            raise _raised(name, call, refusal) from refusal
        except Exception as failure:  # a user's code can raise anything
            raise _raised(name, call, failure) from failure
        if not isinstance(model, nn.Module):
            raise ModelError(name, f"{call} returned a {type(model).__name__}", "it must return a torch.nn.Module")
        return model
    assert error is not None
    raise _raised(name, f"{function}(...)", error) from error


def _raised(name: str, call: str, error: Exception) -> ModelError:
    remedy = "fix the function; --debug shows where it raised"
    if isinstance(error, TypeError) and "required" in str(error):
        remedy = "give its arguments defaults; those named num_classes and in_channels get the data's numbers"
    return ModelError(name, f"{call} raised {type(error).__name__}: {error}", remedy)


def _list_arguments(builder: Callable[..., object], classes: int, channels: int) -> list[dict[str, int]]:
    """List the arguments to call a function with: one set by its signature, or several to try."""
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError:  # written in C without a signature
        return [{"classes": classes, "channels": channels}]
    own = {p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY} and _may_be_count(p)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    sets: list[dict[str, int]] = []
    for keywords in _KEYWORDS if takes_any else ((None, None),):
        arguments = {
            found: value
            for names, keyword, value in zip((_CLASSES, _CHANNELS), keywords, (classes, channels), strict=True)
            if (found := _find_name(own, names) or keyword) is not None
        }
        if arguments not in sets:
            sets.append(arguments)
    return [*sets, {}] if takes_any and {} not in sets else sets


def _may_be_count(parameter: inspect.Parameter) -> bool:
    """Return whether a number fits: a default of names or widths shows that the argument is something else."""
    default: Any = parameter.default
    return default is parameter.empty or default is None or (isinstance(default, int) and not isinstance(default, bool))


def _find_name(own: set[str], names: tuple[str, ...]) -> str | None:
    by_bare_name = {name.replace("_", "").lower(): name for name in sorted(own)}
    return next((by_bare_name[name] for name in names if name in by_bare_name), None)


def _import_module(name: str, module_name: str) -> ModuleType:
    try:
        with _on_path(Path.cwd()):
            return importlib.import_module(module_name)
    except Exception as error:  # a user's code can raise anything while it is imported
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and f"{module_name}.".startswith(f"{absent}."):
            remedy = f"run from the folder that holds it (this is {Path.cwd()}), or install it"
            raise ModelError(name, f"there is no module {absent}", remedy, is_usage=True) from error
        raise _not_imported(name, module_name, error) from error


def _import_file(name: str, file: Path) -> ModuleType:
    """Execute a file as a module of its own, so that its name may be that of an installed one."""
    if not file.is_file():
        remedy = f"run from the folder that holds it (this is {Path.cwd()})"
        raise ModelError(name, f"there is no file {file}", remedy, is_usage=True)
    path = file.resolve()
    module_name = f"{file.stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # a name in .py always has one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module  # dataclasses look there for the module of a class
    try:
        with _on_path(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:  # as above
        del sys.modules[module_name]
        if before is not None:
            sys.modules[module_name] = before
        raise _not_imported(name, str(file), error) from error
    return module


def _not_imported(name: str, what: str, error: Exception) -> ModelError:
    problem = f"importing {what} raised {type(error).__name__}: {error}"
    return ModelError(name, problem, "fix the module; --debug shows where it raised")


def _folder_of(name: str) -> Path:
    """The folder whose modules a user's code finds: that of its file, or the current one."""
    module_name = name.rpartition(":")[0]
    return Path(module_name).resolve().parent if module_name.endswith(".py") else Path.cwd()


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    here = str(folder)
    sys.path.insert(0, here)
    # Import finders cache folder listings: a file written a moment ago would be missed.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(here)
