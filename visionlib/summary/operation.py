"""One call of an ATen operation as input of the rules: named arguments, their shapes and receptive fields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from visionlib.summary.receptive_fields import ReceptiveFields
from visionlib.summary.traced_tensor import list_tensors


@dataclass(frozen=True)
class Operation:
    """An operation and its arguments.

    Attributes:
        name: the operation without its overload, such as `convolution`.
        values: every argument under its name in the schema, defaults included; tensors have the right shape, but values
            only when the model runs on values.
        fields_by_id: receptive fields of the tensor arguments that depend on the image, by `id`.
        constants: tensor arguments that do not depend on the image, with their values, by `id`.
        masked: masked elements of tensor arguments, by `id`: minus infinity, or zero after a softmax, for any image.
        outputs: the outputs, of the right shape.
        note: keeps a kind and a sentence with the module that made the call, as `CallLog.note`.
    """

    name: str
    values: dict[str, Any]
    fields_by_id: dict[int, ReceptiveFields]
    constants: dict[int, Tensor]
    masked: dict[int, Tensor]
    outputs: list[Tensor]
    note: Callable[[str, str], None]

    def __getitem__(self, argument: str) -> Any:
        return self.values[argument]

    def get(self, argument: str, default: Any = None) -> Any:
        """An argument, or the default where the schema has none of that name."""
        return self.values.get(argument, default)

    @property
    def first(self) -> Tensor:
        """The first tensor argument, also in a list."""
        return next(iter(list_tensors((), self.values)))

    @property
    def input_fields(self) -> ReceptiveFields:
        """Receptive fields of the only tensor argument: a rule runs only if some argument depends on the image."""
        return self.fields_by_id[id(self.first)]

    def fields(self, value: Any) -> ReceptiveFields | None:
        """Receptive fields of an argument; None if it does not depend on the image."""
        return self.fields_by_id.get(id(value))

    def constant(self, value: Any) -> Tensor | None:
        """A tensor argument with its values; None if it depends on the image."""
        return self.constants.get(id(value))

    def masked_elements(self, value: Any) -> Tensor | None:
        """Which elements of an argument are masked; None if none is."""
        return self.masked.get(id(value))

    def dependences(self) -> list[ReceptiveFields]:
        """Receptive fields of `dependent_tensors`."""
        return [self.fields_by_id[id(tensor)] for tensor in self.dependent_tensors()]

    def dependent_tensors(self) -> list[Tensor]:
        """The tensor arguments that depend on the image, those in lists included."""
        parts = [
            part for value in self.values.values() for part in (value if isinstance(value, list | tuple) else [value])
        ]
        return [part for part in parts if isinstance(part, Tensor) and id(part) in self.fields_by_id]


RuleResult: TypeAlias = ReceptiveFields | Sequence[ReceptiveFields | None] | None
"""Fields of all outputs alike, or of each; None where an output does not depend on the image."""
Rule: TypeAlias = Callable[[Operation], RuleResult]


def normalize_dim(dim: int, ndim: int) -> int:
    """Turn a negative dimension into the same one counted from the front."""
    return dim % max(ndim, 1)
