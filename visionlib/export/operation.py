"""`Operation`, and the `OperationBuilder` that collects them with their weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from visionlib.errors import ModelError


class Value(int):
    """The number of a value: 0 for the input, and i + 1 for the result of operation i. It is no number of a network."""


@dataclass(frozen=True)
class Operation:
    """One step of a network.

    Attributes:
        name: as the interpreter knows it.
        inputs: the values that it reads.
        shape: of the value that it makes, the one image included.
        weights: numbers of tensors.
        settings: plain values.
    """

    name: str
    inputs: tuple[Value, ...]
    shape: tuple[int, ...]
    weights: tuple[int, ...]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "inputs": list(self.inputs),
            "shape": list(self.shape),
            "weights": list(self.weights),
            **self.settings,
        }


@dataclass
class OperationBuilder:
    """Collects the operations of a network.

    Attributes:
        network: its name, for messages.
        input_shape: of value 0.
        operations: so far.
        tensors: their weights, in float32.
        shared: values that several operations read.
    """

    network: str
    input_shape: tuple[int, ...]
    operations: list[Operation] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    shared: set[Value] = field(default_factory=set)

    def append(
        self, name: str, inputs: Sequence[Value], shape: Sequence[int], weights: Sequence[Tensor] = (), **settings: Any
    ) -> Value:
        """Append an operation, and return its value."""
        numbers = tuple(range(len(self.tensors), len(self.tensors) + len(weights)))
        self.tensors += [weight.detach().float().contiguous() for weight in weights]
        self.operations.append(Operation(name, tuple(inputs), tuple(shape), numbers, settings))
        return Value(len(self.operations))

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return the shape of a value."""
        return self.operations[value - 1].shape if value else self.input_shape

    def place(self, operand: Value | Tensor) -> Value:
        """Return a value as it is; a constant becomes one."""
        if isinstance(operand, Value):
            return operand
        return self.append("constant", (), tuple(operand.shape) or (1,), [operand])

    def refuse(self, what: str) -> ModelError:
        """Return the error for what a page cannot compute."""
        return ModelError(self.network, f"has an operation that a page cannot compute: {what}", "export it to ONNX")
