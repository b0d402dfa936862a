"""Which module calls which, and what comes out, watched without leaving anything in the model."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

_WATCHED = threading.RLock()
"""Held while calls are watched: two who put their own in the place of `__call__` would put back each other's."""


@dataclass
class ModuleCall:
    """One call of one module, while it is being followed.

    Attributes:
        name: where the module hangs in the model, such as `layer1.0.conv1`; empty for the model itself.
        module: the module.
        depth: how many calls it is inside of.
        started: place in the order in which calls begin.
        ended: place in the order in which they end.
        inputs: shapes of the tensors that went in.
        output: the first tensor that came out; None before it has.
        macs: multiply-accumulates of the operations that it called itself.
        notes: kind and sentence of what was assumed in it.
    """

    name: str
    module: nn.Module
    depth: int
    started: int
    inputs: tuple[tuple[int, ...], ...] = ()
    ended: int = -1
    output: Any = None
    macs: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What to call it in a message: its name and type."""
        kind = type(self.module).__name__
        return f"{self.name} ({kind})" if self.name else kind


class CallLog:
    """The calls of a model's modules, in the order in which they began."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.assumptions: list[str] = []
        self.calls: list[ModuleCall] = []
        self.failed: ModuleCall | None = None
        self._names = {id(module): name for name, module in model.named_modules()}
        self._open: list[ModuleCall] = []
        self._ended = 0
        self._thread = threading.get_ident()

    @property
    def current(self) -> ModuleCall | None:
        """The innermost call that has not ended."""
        return self._open[-1] if self._open else None

    def where(self) -> str:
        """Tell the innermost call that has not ended."""
        return self._open[-1].title if self._open else "the model"

    def count(self, macs: int) -> None:
        """Book multiply-accumulates to the innermost call."""
        if self._open:
            self._open[-1].macs += macs

    def note(self, kind: str, sentence: str) -> None:
        """Keep a note with the innermost call."""
        if self._open and (kind, sentence) not in self._open[-1].notes:
            self._open[-1].notes.append((kind, sentence))

    @contextmanager
    def watching(self, keep: Callable[[Any], Any]) -> Iterator[None]:
        """Log every call in this thread while the block runs; another thread that wants the same waits.

        Args:
            keep: makes of what a module returned what is to be kept of it.
        """

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            name = self._names.get(id(module))
            if name is None or threading.get_ident() != self._thread:
                return original(module, *args, **kwargs)
            entry = ModuleCall(name, module, len(self._open), len(self.calls), _shapes((args, kwargs)))
            self.calls.append(entry)
            self._open.append(entry)
            try:
                result = original(module, *args, **kwargs)
                entry.output = keep(result)
            except BaseException:
                self.failed = self.failed or entry
                raise
            finally:
                self._open.pop()
                entry.ended = self._ended
                self._ended += 1
            return result

        # As torch.fx does it: a hook on every module would change the model, and a global one misses those that raise.
        with _WATCHED:
            original = nn.Module.__call__
            nn.Module.__call__ = call  # type: ignore[method-assign]
            try:
                yield
            finally:
                nn.Module.__call__ = original  # type: ignore[method-assign]


def first_tensor(result: Any) -> Tensor | None:
    """Give the first tensor in what a module returned: itself, or in a tuple, list, dict or the like."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict):
        result = list(result.values())
    elif hasattr(result, "__dict__") and not isinstance(result, list | tuple):
        result = list(vars(result).values())
    if isinstance(result, list | tuple):
        return next((found for part in result if (found := first_tensor(part)) is not None), None)
    return None


def _shapes(values: Any) -> tuple[tuple[int, ...], ...]:
    if isinstance(values, Tensor):
        return (tuple(values.shape),)
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return tuple(shape for value in values for shape in _shapes(value))
    return ()
