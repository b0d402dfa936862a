"""Log of all module calls in a forward pass: names, nesting and outputs, without hooks in the model."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_PATCH_LOCK = threading.RLock()
"""Held while `nn.Module.__call__` is patched: two threads would restore each other's patch."""


@dataclass
class ModuleCall:
    """One call of one module.

    Attributes:
        name: qualified name of the module, such as `layer1.0.conv1`; empty for the model itself.
        module: the module.
        depth: number of calls around it.
        inputs: shapes of the tensor arguments.
        ended: index in the order in which calls end.
        output: the first returned tensor, as `CallLog.recording` keeps it; None until the call ends.
        macs: multiply-accumulates of its own operations, without those of the modules inside.
        params: parameters of the module itself, which no earlier call has counted.
        type_name: class of the module, which a lazy one changes in its first call.
        notes: kind and sentence of each assumption or observation.
    """

    name: str
    module: nn.Module
    depth: int
    inputs: tuple[tuple[int, ...], ...] = ()
    ended: int = -1
    output: Any = None
    macs: int = 0
    params: int = 0
    type_name: str = ""
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Name and type, for messages."""
        type_name = type(self.module).__name__
        return f"{self.name} ({type_name})" if self.name else type_name


class CallLog:
    """Module calls, sorted by their start.

    Attributes:
        model: the model.
        assumptions: one sentence each.
        calls: the calls.
        failed: the innermost call that raised; None if none did.
        total_params: parameters of the model.
        trainable_params: those with `requires_grad`.
        weights_bytes: memory of parameters and buffers.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.assumptions: list[str] = []
        self.calls: list[ModuleCall] = []
        self.failed: ModuleCall | None = None
        self.total_params = self.trainable_params = self.weights_bytes = 0
        self._names = {id(module): _without_compilation(name) for name, module in model.named_modules()}
        self._open: list[ModuleCall] = []
        self._ended = 0
        self._thread = threading.get_ident()

    def where(self) -> str:
        """Title of the innermost open call."""
        return self._open[-1].title if self._open else "the model"

    def count(self, macs: int) -> None:
        """Add multiply-accumulates to the innermost open call."""
        if self._open:
            self._open[-1].macs += macs

    def note(self, kind: str, sentence: str) -> None:
        """Add a note to the innermost open call, once."""
        if self._open and (kind, sentence) not in self._open[-1].notes:
            self._open[-1].notes.append((kind, sentence))

    def record_parameters(self) -> None:
        """Record the parameters and classes as they are at the end of the run, which initializes lazy modules."""
        counted: dict[int, Tensor] = {}
        for call in self.calls:
            own = {id(p): p for p in call.module.parameters(recurse=False) if id(p) not in counted and not is_lazy(p)}
            counted.update(own)
            call.type_name = type(call.module).__name__
            call.params = sum(parameter.numel() for parameter in own.values())
        parameters = [parameter for parameter in self.model.parameters() if not is_lazy(parameter)]
        buffers = [buffer for buffer in self.model.buffers() if not is_lazy(buffer)]
        self.total_params = sum(parameter.numel() for parameter in parameters)
        self.trainable_params = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        self.weights_bytes = sum(tensor.numel() * tensor.element_size() for tensor in (*parameters, *buffers))
        if lazy := [name for name, parameter in self.model.named_parameters() if is_lazy(parameter)]:
            verb = "has no shape, as its layer was" if len(lazy) == 1 else "have no shape, as their layers were"
            self.assumptions.append(f"{', '.join(lazy)} {verb} not called: not counted among the parameters")

    @contextmanager
    def recording(self, keep: Callable[[Any], Any]) -> Iterator[None]:
        """Log every call in this thread while the block runs; other threads that want to log wait.

        Args:
            keep: maps the return value of a module to the `output` of its call.
        """

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(module, *args, **kwargs)
            if "_orig_mod" in module._modules:
                return module.get_submodule("_orig_mod")(*args, **kwargs)  # what torch.compile has wrapped
            name = self._names.get(id(module))
            # A module that was compiled in place is run as it is written.
            run: Any = original if module._compiled_call_impl is None else type(module)._call_impl
            if name is None:
                return run(module, *args, **kwargs)
            logged = ModuleCall(name, module, len(self._open), _shapes((args, kwargs)))
            self.calls.append(logged)
            self._open.append(logged)
            try:
                result = run(module, *args, **kwargs)
                logged.output = keep(result)
            except BaseException:
                self.failed = self.failed or logged
                raise
            finally:
                self._open.pop()
                logged.ended = self._ended
                self._ended += 1
            return result

        # As torch.fx does: hooks would change the model, and a global hook is not called for a module that raises.
        with _PATCH_LOCK:
            original = nn.Module.__call__
            nn.Module.__call__ = call  # type: ignore[method-assign]
            try:
                yield
            finally:
                nn.Module.__call__ = original  # type: ignore[method-assign]


def first_tensor(result: Any) -> Tensor | None:
    """The first tensor in a return value: itself, or in nested tuples, lists, dicts or objects."""
    return next(_iterate_tensors(result, set(), in_objects=True), None)


def _shapes(values: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape) for tensor in _iterate_tensors(values, set(), in_objects=False))


def _iterate_tensors(value: Any, around: set[int], *, in_objects: bool) -> Iterator[Tensor]:
    """Iterate over nested tensors; `around` has the ids of the containers around a value, which may hold themselves."""
    if isinstance(value, Tensor):
        yield value
        return
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif in_objects and hasattr(value, "__dict__"):
        parts = list(vars(value).values())
    else:
        return
    if id(value) not in around:
        for part in parts:
            yield from _iterate_tensors(part, {*around, id(value)}, in_objects=in_objects)


def _without_compilation(name: str) -> str:
    """A name without the wrappers of torch.compile."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
