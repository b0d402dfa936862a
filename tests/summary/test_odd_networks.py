"""Networks that a tracer stumbles over: other dimensions, lazy, compiled, quantized, hooked, with nested inputs."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.nn import functional as F
from torch.nn.utils import rnn

from tests.summary.networks import Wired
from tests.summary.test_state_restored import unchanged
from visionlib.errors import ConfigError, ModelError
from visionlib.summary import findings, layer_table, summarize
from visionlib.summary.following import follow
from visionlib.summary.receptive_fields import SEEN_HIGH, SEEN_LOW
from visionlib.summary.verify import verify


def conv(width: int = 8, kernel: Any = 3) -> nn.Conv2d:
    return nn.Conv2d(3, width, kernel)


# Layers of other dimensions than the image.

OTHER_DIMENSIONS: dict[str, tuple[nn.Module, tuple[int, ...], tuple[int, ...], int, tuple[int, ...] | None]] = {
    "frames_of_a_video": (
        Wired(lambda x, c: c(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)), c=conv()),
        (3, 4, 16, 16),
        (1, 4, 8, 14, 14),
        4 * 8 * 14 * 14 * 27,
        (1, 3, 3),
    ),
    "sound": (
        Wired(lambda x, c: c(x.unsqueeze(1)), c=nn.Conv2d(1, 8, (1, 9))),
        (1, 64),
        (1, 8, 1, 56),
        8 * 56 * 9,
        (9,),
    ),
    "channels": (
        Wired(lambda x, c: c(x.unsqueeze(1)).flatten(1, 2), c=nn.Conv3d(1, 4, 3)),
        (8, 16, 16),
        (1, 24, 14, 14),
        4 * 6 * 14 * 14 * 27,
        (3, 3),
    ),
    "pool_3d": (
        Wired(lambda x, p: p(x.unsqueeze(1)).squeeze(1), p=nn.MaxPool3d((1, 2, 2))),
        (3, 16, 16),
        (1, 3, 8, 8),
        0,
        (2, 2),
    ),
    "vector": (Wired(lambda x, c: c(x.view(-1, 1, 8, 8)), c=nn.Conv2d(1, 4, 3)), (64,), (1, 4, 6, 6), 4 * 36 * 9, None),
    # Three neighbours in a row, and at its end the first of the next: two rows and the whole width.
    "flattened_positions": (
        Wired(lambda x, c: c(x.flatten(2)), c=nn.Conv1d(3, 4, 3)),
        (3, 8, 8),
        (1, 4, 62),
        4 * 62 * 9,
        (2, 8),
    ),
    "pooled_positions": (
        Wired(lambda x, c, p: p(c(x).flatten(2)), c=conv(4, 1), p=nn.AvgPool1d(8)),
        (3, 8, 8),
        (1, 4, 8),
        4 * 64 * 3,
        (1, 8),
    ),
}


@pytest.mark.parametrize("name", OTHER_DIMENSIONS)
def test_layers_of_other_dimensions_than_the_image(name: str) -> None:
    model, size, shape, macs, field = OTHER_DIMENSIONS[name]
    summary = summarize(model, size)
    outermost = summary.layers[0]
    assert (outermost.output_shape, summary.macs, outermost.receptive_field) == (shape, macs, field)
    assert summary.disagreement is None
    assert not any(finding.startswith("no finding on") for finding in summary.findings)
    chained = summarize(model, size, method="hook-order")
    assert chained.macs == macs
    dims = {nn.Conv1d: 1, nn.AvgPool1d: 1, nn.Conv2d: 2, nn.Conv3d: 3, nn.MaxPool3d: 3}
    for layer, module in zip(chained.layers, (m for m in model.children()), strict=False):
        assert (layer.receptive_field is None) == (dims[type(module)] != len(size) - 1)


def test_a_remark_that_fails_does_not_cost_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise ValueError("zip() argument 2 is shorter than argument 1")

    model = nn.Sequential(conv(), nn.GroupNorm(2, 8))
    plain = summarize(model, (3, 8, 8))
    monkeypatch.setattr(findings, "_tiling", lambda rows: (fails() for _ in range(1)))
    monkeypatch.setattr(layer_table, "describe_disagreement", fails)
    summary = summarize(model, (3, 8, 8))
    assert summary.layers == plain.layers
    assert "no finding on tiles: ValueError: zip() argument 2 is shorter than argument 1" in summary.findings
    assert summary.findings[-1].startswith("no comparison with hook order: ValueError")
    assert set(plain.findings) - set(summary.findings) == {f for f in plain.findings if f.startswith("tiles")}
    monkeypatch.setattr(layer_table, "measure_fields", fails)
    unmeasured = summarize(model, (3, 8, 8))
    assert [layer.output_shape for layer in unmeasured.layers] == [layer.output_shape for layer in plain.layers]
    assert unmeasured.assumptions[0].startswith("Sequential has a receptive field that was not measured: ValueError")


# Lazy layers and uninitialized parameters.


class Uninitialized(nn.Module):
    """Gives its parameter a shape at the first call, in one of two ways."""

    def __init__(self, *, is_replaced: bool) -> None:
        super().__init__()
        self.weight: Any = nn.UninitializedParameter()
        self.is_replaced = is_replaced

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.weight, nn.UninitializedParameter):
            if self.is_replaced:
                self.weight = nn.Parameter(torch.randn(8, x.shape[1], 3, 3))
            else:
                self.weight.materialize((8, x.shape[1], 3, 3))
                nn.init.ones_(self.weight)
        return F.conv2d(x, self.weight)


LAZY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "convolution_and_norm": (lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU()), 224 + 16),
    "instance_norm": (lambda: nn.Sequential(conv(), nn.LazyInstanceNorm2d(affine=True)), 224 + 16),
    "instance_norm_with_statistics": (
        lambda: nn.Sequential(conv(), nn.LazyInstanceNorm2d(track_running_stats=True, affine=True)),
        224 + 16,
    ),
    "linear": (
        lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(10), nn.LazyBatchNorm1d()),
        224 + 8 * 36 * 10 + 10 + 20,
    ),
    "transposed": (lambda: nn.Sequential(nn.LazyConvTranspose2d(4, 2), nn.LazyConv2d(2, 1)), 3 * 4 * 4 + 4 + 8 + 2),
    "dilated": (lambda: nn.Sequential(nn.LazyConv2d(8, 3, dilation=2), nn.LazyConv2d(4, 1)), 224 + 36),
    "materialized": (lambda: Uninitialized(is_replaced=False), 216),
    "replaced": (lambda: Uninitialized(is_replaced=True), 216),
    "compiled": (lambda: compiled_in_place(nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d())), 224 + 16),
}


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_network_is_summarized_and_stays_lazy(name: str) -> None:
    build, params = LAZY[name]
    model = build()
    with unchanged(model):
        summary = summarize(model, (3, 8, 8))
    assert summary.total_params == sum(layer.params for layer in summary.layers) == params
    assert summary.assumptions == ()
    # It initializes itself at its first batch as if it had never been summarized, to the same table.
    if name != "compiled":
        model.eval()(torch.rand(2, 3, 8, 8))
        assert sum(parameter.numel() for parameter in model.parameters()) == params
        again = summarize(model, (3, 8, 8))
        assert (again.layers, again.weights_bytes) == (summary.layers, summary.weights_bytes)


def test_a_lazy_layer_that_is_never_called_is_named() -> None:
    model = Wired(
        lambda x, used, one, two: used(x), used=conv(), one=nn.LazyLinear(3, bias=False), two=nn.LazyConv2d(3, 3)
    )
    with unchanged(model):
        summary = summarize(model, (3, 8, 8))
    assert (summary.total_params, summary.weights_bytes) == (224, 4 * 224)
    (sentence,) = summary.assumptions
    assert sentence.startswith("one.weight, two.weight, two.bias have no shape, as their layers were not called")


def test_a_layer_that_the_first_call_makes_is_counted_and_removed() -> None:
    def forward(x: Tensor) -> Tensor:
        if not hasattr(model, "late"):
            model.late = nn.Conv2d(x.shape[1], 8, 3)
        outputs: Tensor = model.late(x)
        return outputs

    model: Any = Wired(forward)
    with unchanged(model):
        assert summarize(model, (3, 8, 8)).total_params == 224


# Inference mode and compilation.


class Inferring(nn.Module):
    """Attention, recurrence, norms and pools, wholly or partly in inference mode."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout())
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.steps, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 10)
        self.where = where

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode(self.where in ("stem", "all")):
            x = self.stem(x)
        if self.where == "decorated":
            tokens = torch.inference_mode()(self._mix)(x)
        else:
            with torch.inference_mode(self.where == "all"):
                tokens = self._mix(x)
        outputs: Tensor = self.head(tokens.add_(1).mean(1))
        return outputs

    def _mix(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        mixed: Tensor = self.steps(self.attention(tokens, tokens, tokens)[0])[0]
        return mixed


@pytest.mark.parametrize("where", ["stem", "decorated", "all"])
def test_inference_mode_within_the_network_changes_nothing(where: str) -> None:
    plain = summarize(Inferring("nowhere"), (3, 8, 8))
    model = Inferring(where)
    with unchanged(model):
        assert summarize(model, (3, 8, 8)) == plain


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def compiled_inside(model: Any) -> nn.Module:
    model[1].compile(backend="eager")
    return model  # type: ignore[no-any-return]


def wrapped_inside(model: Any) -> nn.Module:
    model[1] = torch.compile(model[1], backend="eager")
    return model  # type: ignore[no-any-return]


def compiled_forward(model: Any) -> nn.Module:
    model.forward = torch.compile(model.forward, backend="eager")
    return model  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "compile_it",
    [
        compiled_in_place,
        compiled_inside,
        wrapped_inside,
        compiled_forward,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: compiled_in_place(compiled_inside(model)),
    ],
    ids=["in_place", "inside", "wrapped_inside", "forward", "wrapped", "twice"],
)
def test_a_compiled_network_is_summarized_as_it_is_written(compile_it: Callable[[nn.Module], nn.Module]) -> None:
    def build() -> nn.Module:
        return nn.Sequential(conv(), nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, 2)), nn.BatchNorm2d(8))

    plain = summarize(build(), (3, 16, 16), name="it")
    model = compile_it(build())
    compiled = [module._compiled_call_impl for module in model.modules()]
    with unchanged(model):
        assert summarize(model, (3, 16, 16), name="it") == plain
    assert [module._compiled_call_impl for module in model.modules()] == compiled


def test_a_compiled_function_within_the_network_is_run_as_it_is_written() -> None:
    calls: list[type] = []

    def backend(module: Any, inputs: Any) -> Any:
        raise AssertionError("nothing is to be compiled")

    @torch.compile(backend=backend)
    def double(x: Tensor) -> Tensor:
        calls.append(type(x))
        return x * 2

    assert summarize(Wired(lambda x, c: double(c(x)), c=conv()), (3, 8, 8)).layers[0].receptive_field == (3, 3)
    assert len(calls) == 1


@pytest.mark.parametrize("make", [lambda net: torch.jit.trace(net, torch.rand(1, 3, 8, 8)), torch.jit.script])  # type: ignore[no-untyped-call]
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_has_one_row_with_the_field_of_the_network(make: Callable[[nn.Module], nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2)).eval()
    (layer,) = summarize(make(net), (3, 8, 8)).layers
    assert (layer.receptive_field, layer.macs) == ((4, 4), 8 * 36 * 27)


# Hooks that somebody left behind.

READERS: dict[str, Callable[[Tensor], object]] = {
    "numpy": lambda x: x.numpy(),
    "detached": lambda x: x.detach().cpu().numpy().mean(),
    "asarray": lambda x: np.asarray(x),
    "tolist": lambda x: x.tolist(),
    "item": lambda x: x.mean().item(),
    "floats": lambda x: [float(value) for value in x.flatten()[:3]],
    "format": lambda x: f"{x.mean():.3f}",
    "pickle": lambda x: pickle.dumps(x),
    "histogram": lambda x: torch.histc(x, 10).tolist(),
}


@pytest.mark.parametrize("is_swallowed", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_a_hook_that_reads_values_sees_values(reader: str, *, is_swallowed: bool) -> None:
    read, seen = READERS[reader], list[object]()

    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        try:
            seen.append(read(output))
        except Exception:
            if not is_swallowed:
                raise

    model = nn.Sequential(conv(), nn.ReLU())
    plain = summarize(model, (3, 8, 8))
    model[0].register_forward_hook(hook)
    with unchanged(model):
        summary = summarize(model, (3, 8, 8))
    assert [row.receptive_field for row in summary.layers] == [row.receptive_field for row in plain.layers]
    assert summary.macs == plain.macs
    assert summary.assumptions[0].startswith("0 (Conv2d) needs the value of a tensor that depends on the image (")
    # What it kept of the run is gone: a list of the user's, with numbers of noise or tensors without values.
    assert seen == []


@pytest.mark.parametrize(
    "keep",
    [lambda x: x, copy.deepcopy, lambda x: x.data, lambda x: x.detach().clone(), lambda x: f"{x}", lambda x: x.shape],
)
def test_a_hook_that_keeps_outputs_costs_nothing(keep: Callable[[Tensor], object]) -> None:
    kept: dict[str, object] = {}

    class Keeper:
        def __init__(self) -> None:
            self.last: object = None

        def hook(self, module: nn.Module, args: Any, output: Tensor) -> None:
            self.last = kept["output"] = keep(output)

    keeper, model = Keeper(), nn.Sequential(conv(), nn.ReLU())
    plain = summarize(model, (3, 8, 8))
    model[0].register_forward_hook(keeper.hook)
    assert summarize(model, (3, 8, 8)) == plain
    assert keeper.last is None


def test_hooks_on_gradients_are_ignored() -> None:
    def forward(x: Tensor, c: nn.Module) -> Tensor:
        features: Tensor = c(x)
        features.register_hook(print)  # type: ignore[no-untyped-call]
        features.retain_grad()
        return features

    assert summarize(Wired(forward, c=conv()), (3, 8, 8)).layers[0].receptive_field == (3, 3)


def test_values_that_come_back_as_constants_are_an_assumption() -> None:
    model = Wired(lambda x, c: c(x) + torch.from_numpy(np.sqrt(np.abs(c(x).numpy()))), c=conv())
    summary = summarize(model, (3, 8, 8))
    assert (
        "what is computed from the values that numpy returned was assumed to be constant, in Wired"
        in summary.assumptions
    )


# Recurrence, quantization and views in place.


def sequence(model: nn.Module, pack: Callable[[Tensor], Any]) -> Wired:
    def forward(x: Tensor, c: nn.Module, steps: nn.Module) -> Any:
        out = steps(pack(c(x).flatten(2).transpose(1, 2)))[0]
        return rnn.pad_packed_sequence(out, batch_first=True)[0] if isinstance(out, rnn.PackedSequence) else out

    return Wired(forward, c=nn.Conv2d(3, 4, 3, 2, 1), steps=model)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("settings", [{}, {"bidirectional": True, "num_layers": 2}])
def test_a_packed_sequence_of_full_length_is_the_sequence(layer: Any, settings: dict[str, Any]) -> None:
    def packed(x: Tensor) -> Any:
        return rnn.pack_padded_sequence(x, [x.shape[1]] * len(x), batch_first=True)

    def unsorted(x: Tensor) -> Any:
        return rnn.pack_padded_sequence(x, torch.tensor([x.shape[1]]), batch_first=True, enforce_sorted=False)

    recurrent = layer(4, 5, batch_first=True, **settings)
    plain = [call.output for call in follow(sequence(recurrent, lambda x: x), (3, 4, 4)).calls]
    for pack in (packed, unsorted):
        calls = follow(sequence(recurrent, pack), (3, 4, 4)).calls
        assert calls[0].output.shape == plain[0].shape
        assert sum(call.macs for call in calls) > 0
        for a, b in zip(calls[0].output.fields.bounds, plain[0].fields.bounds, strict=True):
            torch.testing.assert_close(a.expand(-1, *plain[0].shape), b.expand(-1, *plain[0].shape))


def test_the_elements_of_a_packed_sequence_by_hand() -> None:
    # Two sequences of 3 and 2 steps: the steps 0 0 1 1 2 one after the other.
    model = Wired(lambda x: rnn.pack_padded_sequence(x.flatten(2).transpose(1, 2), [3, 2], batch_first=True))
    output = follow(model, (1, 1, 4), batch_size=2).calls[0].output
    assert output.shape == (5, 1)
    columns = output.fields.bounds[1].expand(-1, 5, 1)[..., 0]
    assert columns[SEEN_HIGH].tolist() == [0, 0, 1, 1, 2]
    assert (-columns[SEEN_LOW]).tolist() == [0, 0, 1, 1, 2]


QUANTIZED: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    "linear_of_tokens": lambda: Wired(lambda x, c, f: f(c(x).flatten(2).transpose(1, 2)), c=conv(), f=nn.Linear(8, 5)),
    "lstm": lambda: sequence(nn.LSTM(4, 5, num_layers=2, bidirectional=True), lambda x: x.transpose(0, 1)),
    "gru": lambda: sequence(nn.GRU(4, 5), lambda x: x.transpose(0, 1)),
    "packed": lambda: sequence(nn.LSTM(4, 5), lambda x: rnn.pack_padded_sequence(x, [x.shape[1]], batch_first=True)),
    "cell": lambda: Wired(lambda x, c, cell: cell(c(x).mean((2, 3))), c=conv(), cell=nn.GRUCell(8, 4)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_dynamically_quantized_network_has_the_table_of_the_float_one(name: str, dtype: torch.dtype) -> None:
    kinds = {nn.Linear, nn.LSTM, nn.GRU, nn.GRUCell}
    model = QUANTIZED[name]()
    plain = summarize(model, (3, 4, 4))
    quantized = summarize(quantization.quantize_dynamic(model, kinds, dtype=dtype), (3, 4, 4))  # type: ignore[no-untyped-call]
    assert quantized.macs == plain.macs
    assert quantized.assumptions == ()

    def rows(summary: Any) -> list[Any]:
        # Without the rows within quantized layers.
        return [(row.output_shape, row.receptive_field, row.start) for row in summary.layers if row.depth < 2]

    assert rows(quantized) == rows(plain)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["training", "fused", "observed"])
def test_the_ranges_of_fake_quantization_are_left_as_they_were(kind: str) -> None:
    model: Any = nn.Sequential(
        quantization.QuantStub(),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        quantization.DeQuantStub(),
    ).train(kind != "observed")
    model.qconfig = getattr(quantization, f"get_default_{'' if kind == 'observed' else 'qat_'}qconfig")("x86")
    if kind == "fused":
        quantization.fuse_modules_qat(model[1], ["0", "1", "2"], inplace=True)  # type: ignore[no-untyped-call]
    prepared = (quantization.prepare if kind == "observed" else quantization.prepare_qat)(model)
    for _ in range(2):
        with unchanged(prepared):
            summary = summarize(prepared, (3, 8, 8))
        assert (summary.total_params, summary.layers[0].receptive_field) == (240, (3, 3))
        prepared(torch.rand(1, 3, 8, 8))  # ranges of an image


BLOCK_DIAG: Any = torch.block_diag
VERIFIED: dict[str, Callable[[], nn.Module]] = {
    "block_diag": lambda: Wired(lambda x, c: BLOCK_DIAG(c(x)[0, 0], torch.ones(2, 2, dtype=x.dtype)), c=conv()),
    "block_diag_of_vectors": lambda: Wired(
        lambda x, c: BLOCK_DIAG(c(x)[0, 0, 0], torch.ones((), dtype=x.dtype), c(x)[0, 1]), c=conv()
    ),
    "transposed_in_place": lambda: Wired(
        lambda x, c, d: d(c(x).transpose_(2, 3)), c=conv(8, (3, 1)), d=nn.Conv2d(8, 4, (1, 5))
    ),
    "unsqueezed_in_place": lambda: Wired(lambda x, c: c(x).unsqueeze_(2).add_(1), c=conv(8, (3, 1))),
    "squeezed_in_place": lambda: Wired(
        lambda x, c: c(x).mean(1, keepdim=True).squeeze_(1).squeeze_(0).t_(), c=conv(8, (1, 3))
    ),
    "list_operations": lambda: Wired(lambda x, c: torch._foreach_add([c(x), x], [c(x), x])[0], c=conv()),
    "packed": lambda: sequence(
        nn.GRU(4, 3, batch_first=True), lambda x: rnn.pack_padded_sequence(x, [16], batch_first=True)
    ),
}


@pytest.mark.parametrize("name", VERIFIED)
def test_decomposed_operations_agree_with_the_gradient(name: str) -> None:
    verification = verify(VERIFIED[name](), (3, 8, 8))
    assert verification.mismatch is None
    assert verification.layers >= 2


# What cannot be traced is refused in one line that names the layer and the operation.

REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "sparse": (lambda x: x.to_sparse().to_dense(), "aten::_to_sparse (test_odd_networks.py:"),
    "nested": (lambda x: torch.nested.nested_tensor([x[0]]).to_padded_tensor(0), "makes a sparse or nested tensor"),
    "svd": (lambda x: torch.linalg.svd(x), "aten::_linalg_svd (test_odd_networks.py:"),
    "inverse": (lambda x: torch.linalg.inv(x), "aten::linalg_inv_ex (test_odd_networks.py:"),
    "solve": (lambda x: torch.linalg.solve(torch.eye(6), x), "aten::_linalg_solve_ex (test_odd_networks.py:"),
    "unique": (lambda x: torch.unique(x), "aten::_unique2 (test_odd_networks.py:"),
    "resized": (lambda x: x.resize_(1, 8, 3, 3), "aten::resize (test_odd_networks.py:"),
    "shared": (lambda x: torch.empty(0).set_(x), "aten::set_"),
    "strided": (lambda x: x.as_strided((2, 2), (1, 1)), "aten::as_strided (test_odd_networks.py:"),
    "condition": (lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), "cond (test_odd_networks.py:"),
    "gradient": (lambda x: torch.autograd.grad(x.sum(), x), "RuntimeError: element 0 of tensors does not require grad"),
    "static_quantization": (
        lambda x: torch.ops.quantized.conv2d_relu.new(x, None, 1.0, 0),
        "quantized::conv2d_relu",
    ),
    "end_of_iterator": (lambda x: next(iter([])), "StopIteration"),
    "missing_key": (lambda x: vars(type(x))["a"], "KeyError: 'a'"),
    "missing_attribute": (lambda x: x.missing, "AttributeError: 'Tensor' object has no attribute 'missing'"),
    "empty_error": (lambda x: [][0], "IndexError: list index out of range"),
    "wrong_shape": (lambda x: x.view(7, 7), "RuntimeError: shape '[7, 7]' is invalid for input of size 288"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_in_one_line_that_names_the_layer(name: str) -> None:
    operate, problem = REFUSED[name]
    model = nn.Sequential(conv(), nn.ModuleDict({"inner": Wired(operate)})["inner"])
    with unchanged(model), pytest.raises(ModelError) as caught:
        summarize(model, (3, 8, 8))
    text = str(caught.value)
    assert text.startswith("1 (Wired): ")
    assert problem in text
    assert "\n" not in text
    assert "TracedTensor" not in text


def test_a_mistake_of_a_rule_is_told_from_one_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(operation: Any) -> Any:
        raise StopIteration

    monkeypatch.setattr("visionlib.summary.interpreter.RULES", {"convolution": fails})
    with pytest.raises(
        ModelError, match=r"^0 \(Conv2d\): aten::convolution \(.*\) has no receptive-field rule for these"
    ):
        summarize(nn.Sequential(conv()), (3, 8, 8))


# A tuple or dict as the input.


class Batch(NamedTuple):
    image: Any
    scale: Any


class OneArgument(nn.Module):
    def __init__(self, unpack: Callable[[Any], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.conv, self.unpack = nn.Conv2d(3, 8, 3), unpack

    def forward(self, batch: Any) -> Tensor:
        image, scale = self.unpack(batch)
        outputs: Tensor = self.conv(image) * scale
        return outputs


IMAGE, SCALE = (3, 8, 8), (8, 1, 1)


@pytest.mark.parametrize(
    ("input_size", "unpack", "kind"),
    [
        ((IMAGE, SCALE), lambda b: b, tuple),
        ([IMAGE, SCALE], lambda b: b, tuple),
        ([(IMAGE, SCALE)], lambda b: b, tuple),
        ([[IMAGE, SCALE]], lambda b: b, list),
        ([Batch(IMAGE, SCALE)], lambda b: (b.image, b.scale), Batch),
        ({"image": IMAGE, "scale": SCALE}, lambda b: (b["image"], b["scale"]), dict),
        ([{"image": IMAGE, "scale": SCALE}], lambda b: (b["image"], b["scale"]), dict),
        ({"batch": {"image": IMAGE, "scale": SCALE}}, lambda b: (b["image"], b["scale"]), dict),
        ({"batch": [IMAGE, {"scale": [SCALE]}]}, lambda b: (b[0], b[1]["scale"][0]), list),
    ],
)
def test_a_network_that_takes_one_tuple_or_dict(input_size: Any, unpack: Callable[[Any], Any], kind: type) -> None:
    kinds: set[type] = set()

    def unpack_and_note(batch: Any) -> Any:
        kinds.add(type(batch))
        return unpack(batch)

    model = OneArgument(unpack_and_note)
    summary = summarize(model, input_size, batch_size=2)
    assert kinds == {kind}
    assert summary.input_size == IMAGE
    assert (summary.layers[0].output_shape, summary.layers[0].receptive_field) == ((2, 8, 6, 6), (3, 3))


def test_one_tuple_of_one_image() -> None:
    model = OneArgument(lambda batch: (batch[0], torch.ones(1)))
    assert summarize(model, [(IMAGE,)]).layers[0].output_shape == (1, 8, 6, 6)


def test_what_does_not_fit_the_one_argument_is_an_error_with_all_sizes() -> None:
    model = OneArgument(lambda batch: (batch["image"], batch["scale"]))
    with pytest.raises(ModelError, match=r"KeyError: 'scale'; check the input size, which is 3x8x8 and 8x1x1$"):
        summarize(model, {"image": IMAGE, "size": SCALE})
    sizes: list[Any] = [[()], [{}], {"batch": []}, [[IMAGE, (3, 0, 8)]], [{"image": "3x8x8"}], [[IMAGE, None]]]
    for size in sizes:
        with pytest.raises(
            ConfigError, match=r"^input_size: .* is no size of an image; give channels, height and width"
        ):
            summarize(model, size)
