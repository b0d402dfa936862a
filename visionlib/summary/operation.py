"""One call of an operation of PyTorch, as the rules see it: named arguments, their shapes, and what they see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from visionlib.summary.reach import Reach


@dataclass(frozen=True)
class Operation:
    """A call.

    Attributes:
        name: the operation without its overload, such as `convolution`.
        values: every argument by the name that the schema gives it, defaults included; tensors are stand-ins of the
            right shape, without values unless nothing of the image went into them.
        reaches: what each tensor among the arguments sees, by `id`; those that see nothing are absent.
        constants: the tensors among the arguments that do not depend on the image, with their values, by `id`.
        blanks: for tensors among the arguments, by `id`, which entries a mask has blanked out: minus infinity, and
            after a softmax exactly zero, whatever the image.
        outputs: stand-ins for what it returns.
        note: takes a sentence about what was assumed; it is kept with the module that made the call.
    """

    name: str
    values: dict[str, Any]
    reaches: dict[int, Reach]
    constants: dict[int, Tensor]
    blanks: dict[int, Tensor]
    outputs: list[Tensor]
    note: Callable[[str, str], None]

    def __getitem__(self, argument: str) -> Any:
        return self.values[argument]

    def get(self, argument: str, default: Any = None) -> Any:
        """Give an argument, or a default where the operation has none of that name."""
        return self.values.get(argument, default)

    @property
    def first(self) -> Tensor:
        """The first tensor among the arguments."""
        return next(value for value in self.values.values() if isinstance(value, Tensor))

    def reach(self, value: Any) -> Reach | None:
        """Give what a tensor sees; None if nothing of the image went into it."""
        return self.reaches.get(id(value))

    def constant(self, value: Any) -> Tensor | None:
        """Give the values of a tensor that does not depend on the image."""
        return self.constants.get(id(value))

    def blank(self, value: Any) -> Tensor | None:
        """Tell which entries of a tensor a mask has blanked out; None if none has."""
        return self.blanks.get(id(value))

    def seeing(self) -> list[Tensor]:
        """Give the tensors among the arguments that see something, those in lists included."""
        parts = [
            part for value in self.values.values() for part in (value if isinstance(value, list | tuple) else [value])
        ]
        return [part for part in parts if isinstance(part, Tensor) and id(part) in self.reaches]


Outcome: TypeAlias = Reach | Sequence[Reach | None] | None
Rule: TypeAlias = Callable[[Operation], Outcome]


def positive(dim: int, ndim: int) -> int:
    """Count a dimension from the front."""
    return dim % max(ndim, 1)
