"""Where a network's class activation map comes from, found in its list of operations.

With a linear layer behind a mean, a maximum or nothing but a change of shape, the gradient of a logit is known without
a backward pass. Averaged over positions it is, up to a factor above 0, the weight of the channel: then Grad-CAM is the
CAM of Zhou et al. 2015, arXiv:1512.04150 (Selvaraju et al. 2016, arXiv:1610.02391, section 3.1).
"""

from dataclasses import dataclass

from visionlib.export.operation import Operation, OperationBuilder, Value


@dataclass(frozen=True)
class ClassMap:
    """The map of a class: the sum over channels of activations times the class's weights, at least 0.

    Attributes:
        features: the value with the activations.
        weights: number of the tensor, classes x channels.
        size: height and width of the map, in positions.
    """

    features: Value
    weights: int
    size: tuple[int, int]


def find_class_map(builder: OperationBuilder) -> ClassMap | None:
    """Find the map of a network whose last operation makes its logits; None if its structure has none.

    Weights are appended where those of the linear layer do not serve.
    """
    at = Value(len(builder.operations))
    linear, at = _skip(builder, at, "linear")
    if linear is None:
        return None
    weights = linear.weights[0]
    pool, features = _skip(builder, linear.inputs[0], "adaptive_pool2d")
    if pool is not None and pool.shape[2:] == (1, 1):
        features = pool.inputs[0]
    else:
        features = _skip(builder, linear.inputs[0], "")[1]
    shape = builder.shape(features)
    if len(shape) != 4 or shape[2] * shape[3] < 2:
        return None
    matrix = builder.tensors[weights]
    if matrix.shape[1] != shape[1]:  # the linear layer reads each position on its own
        if matrix.shape[1] != shape[1] * shape[2] * shape[3]:
            return None
        builder.tensors.append(matrix.view(-1, *shape[1:]).mean((2, 3)))
        weights = len(builder.tensors) - 1
    return ClassMap(features, weights, (shape[2], shape[3]))


def _skip(builder: OperationBuilder, value: Value, name: str) -> tuple[Operation | None, Value]:
    """Go back over changes of shape and of scale; return the operation there if it has the name, and its value."""
    while value:
        operation = builder.operations[value - 1]
        if operation.name == name:
            return operation, value
        is_scale = operation.name == "scalar" and operation.settings["factor"] > 0
        if operation.name != "reshape" and not is_scale:
            break
        value = operation.inputs[0]
    return None, value
