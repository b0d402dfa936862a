"""Log of all module calls in a forward pass: names, nesting and outputs, without hooks in the model."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

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
        notes: kind and sentence of each assumption or observation.
    """

    name: str
    module: nn.Module
    depth: int
    inputs: tuple[tuple[int, ...], ...] = ()
    ended: int = -1
    output: Any = None
    macs: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Name and type, for messages."""
        type_name = type(self.module).__name__
        return f"{self.name} ({type_name})" if self.name else type_name


class CallLog:
    """Module calls, sorted by their start."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.assumptions: list[str] = []
        self.calls: list[ModuleCall] = []
        self.failed: ModuleCall | None = None
        self._names = {id(module): name for name, module in model.named_modules()}
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

    @contextmanager
    def recording(self, keep: Callable[[Any], Any]) -> Iterator[None]:
        """Log every call in this thread while the block runs; other threads that want to log wait.

        Args:
            keep: maps the return value of a module to the `output` of its call.
        """

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            name = self._names.get(id(module))
            if name is None or threading.get_ident() != self._thread:
                return original(module, *args, **kwargs)
            logged = ModuleCall(name, module, len(self._open), _shapes((args, kwargs)))
            self.calls.append(logged)
            self._open.append(logged)
            try:
                result = original(module, *args, **kwargs)
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
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict):
        result = list(result.values())
    elif hasattr(result, "__dict__") and not isinstance(result, list | tuple):
        result = list(vars(result).values())
    if isinstance(result, list | tuple):
        return next((tensor for part in result if (tensor := first_tensor(part)) is not None), None)
    return None


def _shapes(values: Any) -> tuple[tuple[int, ...], ...]:
    if isinstance(values, Tensor):
        return (tuple(values.shape),)
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return tuple(shape for value in values for shape in _shapes(value))
    return ()
