"""A network as a list of operations that a small interpreter in JavaScript computes.

Requirements:
- The list is flat: each operation reads earlier values and makes one. Value 0 is the input, of one image.
- What does not depend on the image is computed here, and normalizations are folded into convolutions.
- A network with another operation is refused, by name: the list never computes something else.
"""

import copy
import operator
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import unwrap_model
from visionlib.export.class_map import ClassMap, find_class_map
from visionlib.export.operation import Operation, OperationBuilder, Value
from visionlib.export.operation_rules import RULES


@dataclass(frozen=True, eq=False)
class OperationList:
    """A network for one image.

    Attributes:
        operations: in order; the last one makes the logits.
        tensors: weights in float32, which operations name by number.
        class_map: how to compute a class activation map; None where the network's structure has none.
        classes: number of logits.
    """

    operations: tuple[Operation, ...]
    tensors: tuple[Tensor, ...]
    class_map: ClassMap | None
    classes: int


def list_operations(network: nn.Module, input_size: tuple[int, int, int]) -> OperationList:
    """List the operations of a network in eval mode; it is not changed.

    Args:
        network: returns a row of logits per image.
        input_size: channels, height and width of its inputs.
    Raises:
        ModelError: if it cannot be traced, has an operation that is not known, or returns no row of logits.
    """
    network = unwrap_model(network)
    builder = OperationBuilder(type(network).__name__, (1, *input_size))
    outputs = _follow(_trace(network, input_size), builder)
    logits = outputs[0] if len(outputs) == 1 else None
    if not isinstance(logits, Value) or len(builder.shape(logits)) != 2:
        raise ModelError(builder.network, "does not return one row of logits per image", "return nothing else")
    if logits != len(builder.operations):
        builder.append("reshape", [logits], builder.shape(logits))
    class_map = find_class_map(builder)
    return OperationList(tuple(builder.operations), tuple(builder.tensors), class_map, builder.shape(logits)[1])


def _trace(network: nn.Module, input_size: tuple[int, int, int]) -> Any:
    """Trace a copy of a network to the operations that torch's layers consist of."""
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch's own parts
            copied = copy.deepcopy(network).cpu().float().eval()
            for tensor in (*copied.parameters(), *copied.buffers()):
                tensor.data = tensor.data.contiguous()  # channels-last would be traced to operations on strides
            program: Any = torch.export.export(copied, (torch.zeros(1, *input_size),))
            return program.run_decompositions()
    except Exception as error:  # a user's code can raise anything
        first_line = next(iter(str(error).splitlines()), "")
        problem = f"cannot be traced: {type(error).__name__}: {first_line}"
        raise ModelError(type(network).__name__, problem, "its forward may not depend on values") from error


def _follow(program: Any, builder: OperationBuilder) -> list[Any]:
    """Append the operations of a traced network, and return its outputs."""
    signature = program.graph_signature
    tensors = {**program.state_dict, **program.constants}
    stored = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    known: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            known[node] = tensors[stored[node.name]].detach() if node.name in stored else Value(0)
        elif node.op == "output":
            return [known[output] if isinstance(output, fx.Node) else output for output in node.args[0]]
        else:
            known[node] = _translate(node, known, builder)
        if isinstance(known[node], Value) and len(node.users) > 1:
            builder.shared.add(known[node])
    return []


def _translate(node: fx.Node, known: dict[fx.Node, Any], builder: OperationBuilder) -> Any:
    """Compute a node of constants; append the operation of any other one, and return its value."""
    target: Any = node.target
    arguments = list(fx.node.map_arg(node.args, known.__getitem__))
    keywords = dict(fx.node.map_arg(node.kwargs, known.__getitem__))
    if target is operator.getitem and isinstance(arguments[0], Value):
        if arguments[1] != 0:
            raise builder.refuse(f"the result {arguments[1]} of {node.args[0]}")
        return arguments[0]
    if not any(isinstance(known[source], Value) for source in node.all_input_nodes):
        return target(*arguments, **keywords)
    if target not in RULES:
        raise builder.refuse(str(target).removeprefix("aten.").removesuffix(".default"))
    named = {argument.name: argument.default_value for argument in target._schema.arguments}
    named.update(zip(named, arguments, strict=False))
    named.update(keywords)
    made = node.meta["val"]
    return RULES[target](builder, named, tuple((made[0] if isinstance(made, tuple | list) else made).shape))
