"""How each operation of torch becomes one of the page: `RULES`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from visionlib.export.operation import OperationBuilder, Value

Shape = tuple[int, ...]
Rule = Callable[[OperationBuilder, dict[str, Any], Shape], Value]
"""Takes the arguments by torch's names, and the shape of the result; appends an operation."""

_aten = torch.ops.aten


def _convolve(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    if a["transposed"] or len(shape) != 4 or not isinstance(a["weight"], Tensor) or isinstance(a["bias"], Value):
        raise builder.refuse("a convolution other than in two dimensions with fixed weights")
    bias = a["weight"].new_zeros(shape[1]) if a["bias"] is None else a["bias"]
    settings = {name: _pair(a[name]) for name in ("stride", "padding", "dilation")}
    return builder.append("conv2d", [a["input"]], shape, [a["weight"], bias], groups=a["groups"], **settings)


def _normalize(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    """Fold a normalization into the convolution before it, or make it a factor and a summand per channel."""
    value: Value = a["input"]
    mean, variance = a["running_mean"].double(), a["running_var"].double()
    scale = (variance + a["eps"]).rsqrt() * (1.0 if a["weight"] is None else a["weight"].double())
    shift = -mean * scale + (0.0 if a["bias"] is None else a["bias"].double())
    before = builder.operations[value - 1] if value else None
    if before is None or before.name != "conv2d" or value in builder.shared:
        return builder.append("affine", [value], shape, [scale, shift])
    weight, bias = before.weights
    builder.tensors[bias] = (builder.tensors[bias].double() * scale + shift).float()
    builder.tensors[weight] = (builder.tensors[weight].double() * scale.view(-1, 1, 1, 1)).float()
    return value


def _multiply(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    """Multiply the image's row by a matrix of weights, and add a row."""
    row, bias = (a["mat1"], a["self"]) if "mat1" in a else (a["self"], None)
    is_scaled = a.get("alpha", 1) != 1 or a.get("beta", 1) != 1
    if not isinstance(row, Value) or not isinstance(a["mat2"], Tensor) or isinstance(bias, Value) or is_scaled:
        raise builder.refuse("a product of two matrices that both depend on the image")
    bias = a["mat2"].new_zeros(shape[1]) if bias is None else bias.reshape(-1).expand(shape[1])
    return builder.append("linear", [row], shape, [a["mat2"].T, bias])


def _apply(name: str, **names: str) -> Rule:
    """Make the rule of a function of single numbers; `names` are its settings, each with torch's name."""

    def rule(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
        settings = {ours: a[theirs] for ours, theirs in names.items()}
        return builder.append(name, [a["self"]], shape, **settings)

    return rule


def _combine(name: str) -> Rule:
    """Make the rule of a sum, difference, product or quotient of two values, or of a value and a number."""

    def rule(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
        left, right = a["self"], a["other"]
        if a.get("alpha", 1) != 1:
            raise builder.refuse(f"{name} with a factor")
        if isinstance(right, Value | Tensor):
            return builder.append(name, [builder.place(left), builder.place(right)], shape)
        factor = {"mul": right, "div": 1 / right if name == "div" else 1}.get(name, 1)
        shift = {"add": right, "sub": -right}.get(name, 0)
        return builder.append("scalar", [left], shape, factor=float(factor), shift=float(shift))

    return rule


def _pool(kind: str) -> Rule:
    """Make the rule of a mean or maximum over windows."""

    def rule(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
        has_own_divisor = a.get("divisor_override") is not None or (kind == "mean" and a["ceil_mode"])
        if len(shape) != 4 or has_own_divisor:
            raise builder.refuse(f"pooling by the {kind} with a divisor of its own, or in other than two dimensions")
        settings: dict[str, Any] = {
            "kernel": _pair(a["kernel_size"]),
            "stride": _pair(a["stride"] or a["kernel_size"]),
            "padding": _pair(a["padding"]),
            "dilation": _pair(a.get("dilation", 1)),
            "counts_padding": bool(a.get("count_include_pad", False)),
        }
        return builder.append("pool2d", [a["self"]], shape, kind=kind, **settings)

    return rule


def _pool_adaptively(kind: str) -> Rule:
    def rule(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
        if len(shape) != 4:
            raise builder.refuse("adaptive pooling in other than two dimensions")
        return builder.append("adaptive_pool2d", [a["self"]], shape, kind=kind)

    return rule


def _reduce(kind: str) -> Rule:
    """Make the rule of a mean or maximum over height and width."""

    def rule(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
        before = builder.shape(a["self"])
        if len(before) != 4 or sorted(at % 4 for at in a["dim"] or ()) != [2, 3]:
            raise builder.refuse(f"a {kind} other than over height and width")
        pooled = builder.append("adaptive_pool2d", [a["self"]], (*before[:2], 1, 1), kind=kind)
        return pooled if len(shape) == 4 else builder.append("reshape", [pooled], shape)

    return rule


def _slice(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    before = builder.shape(a["self"])
    dim, start = a["dim"] % len(shape), a["start"] or 0
    start = max(0, start + before[dim] if start < 0 else start)
    return builder.append("slice", [a["self"]], shape, dim=dim, start=start, step=a["step"])


def _pad_constant(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    before = [0] * len(shape)
    for at, amount in enumerate(a["pad"][::2]):
        before[-1 - at] = amount
    return builder.append("pad", [a["self"]], shape, before=before, value=float(a["value"] or 0))


def _concatenate(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    operands = [builder.place(operand) for operand in a["tensors"]]
    return builder.append("cat", operands, shape, dim=a["dim"] % len(shape))


def _reshape(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    return builder.append("reshape", [a["self"]], shape)


def _pass_on(builder: OperationBuilder, a: dict[str, Any], shape: Shape) -> Value:
    value: Value = a["self"]
    return value


def _pair(value: int | Sequence[int]) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


RULES: dict[Any, Rule] = {
    _aten.convolution.default: _convolve,
    _aten._native_batch_norm_legit_no_training.default: _normalize,
    _aten.addmm.default: _multiply,
    _aten.mm.default: _multiply,
    _aten.relu.default: _apply("relu"),
    _aten.gelu.default: _apply("gelu", approximate="approximate"),
    _aten.sigmoid.default: _apply("sigmoid"),
    _aten.tanh.default: _apply("tanh"),
    _aten.silu.default: _apply("silu"),
    _aten.leaky_relu.default: _apply("leaky_relu", slope="negative_slope"),
    _aten.elu.default: _apply("elu", alpha="alpha", scale="scale", input_scale="input_scale"),
    _aten.hardtanh.default: _apply("clamp", low="min_val", high="max_val"),
    _aten.clamp.default: _apply("clamp", low="min", high="max"),
    _aten.hardswish.default: _apply("hardswish"),
    _aten.hardsigmoid.default: _apply("hardsigmoid"),
    _aten.add.Tensor: _combine("add"),
    _aten.sub.Tensor: _combine("sub"),
    _aten.mul.Tensor: _combine("mul"),
    _aten.div.Tensor: _combine("div"),
    _aten.max_pool2d_with_indices.default: _pool("maximum"),
    _aten.avg_pool2d.default: _pool("mean"),
    _aten.adaptive_max_pool2d.default: _pool_adaptively("maximum"),
    _aten._adaptive_avg_pool2d.default: _pool_adaptively("mean"),
    _aten.mean.dim: _reduce("mean"),
    _aten.amax.default: _reduce("maximum"),
    _aten.slice.Tensor: _slice,
    _aten.constant_pad_nd.default: _pad_constant,
    _aten.cat.default: _concatenate,
    _aten.view.default: _reshape,
    _aten._unsafe_view.default: _reshape,
    _aten.squeeze.dim: _reshape,
    _aten.squeeze.dims: _reshape,
    _aten.unsqueeze.default: _reshape,
    _aten.clone.default: _pass_on,
    _aten.alias.default: _pass_on,
    _aten.detach.default: _pass_on,
}
"""By torch's operation; all others are refused."""
