"""The layer table: numbers worked out by hand, the state of the model afterwards, and errors."""

import copy
import csv
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from tests.cli.processes import run_code
from tests.summary.networks import Residual, UNet, Wired
from visionlib.errors import ConfigError, ModelError
from visionlib.models import build_model
from visionlib.summary import LayerSummary, ModelSummary, summarize
from visionlib.summary.verify import verify

PUBLISHED_TABLE = Path(__file__).parents[3] / "shared" / "reference" / "published_summary.csv"

TRUE_FIELDS = {
    "layer1.0.conv1": (5, 1),
    "layer1.1.conv2": (11, 1),
    "layer2.0.conv1": (13, 2),
    "layer2.0.conv2": (17, 2),
    "layer2.0.shortcut.0": (11, 2),
    "layer2.1.conv2": (25, 2),
    "layer3.0.conv1": (29, 4),
    "layer3.0.conv2": (37, 4),
    "layer3.1.conv2": (53, 4),
    "layer4.0.conv1": (61, 8),
    "layer4.0.conv2": (77, 8),
    "layer4.0.shortcut.0": (53, 8),
    "layer4.1.conv1": (93, 8),
    "layer4.1.conv2": (109, 8),
}
"""Layer of the CIFAR ResNet-18 -> receptive field and jump, measured by backpropagation in double precision."""


def row(summary: ModelSummary, name: str) -> LayerSummary:
    (layer,) = [layer for layer in summary.layers if layer.name == name]
    return layer


def jumps(*steps: int) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, steps))


@pytest.mark.parametrize("side", [16, 32, 33, 64])
def test_every_field_of_resnet18_at_any_image_size(side: int) -> None:
    summary = summarize(build_model("resnet18"), (3, side, side))
    for name, (field, jump) in TRUE_FIELDS.items():
        layer = row(summary, name)
        assert layer.receptive_field == layer.smallest_receptive_field == (field, field)
        assert layer.jump == jumps(jump, jump)
    assert row(summary, "layer4.1.conv2").start == (-54, -54)
    assert row(summary, "layer4.1.conv2").seen == (min(side, 109),) * 2


def test_the_layers_of_cnn8_by_hand() -> None:
    """A pixel more from the stem; 2 jumps from each convolution, and 1 from each maximum, which doubles the jump."""
    expected = {
        "stem": (2, 1, 0),
        "layer1.conv1": (4, 1, -1),
        "layer1.pool": (5, 2, -1),
        "layer1.conv2": (9, 2, -3),
        "layer2.conv1": (13, 2, -5),
        "layer2.pool": (15, 4, -5),
        "layer2.conv2": (23, 4, -9),
        "layer3.conv1": (31, 4, -13),
        "layer3.pool": (35, 8, -13),
        "layer3.conv2": (51, 8, -21),
    }
    for side in (16, 32, 75):
        summary = summarize(build_model("cnn8"), (3, side, side))
        for name, (field, jump, start) in expected.items():
            layer = row(summary, name)
            assert layer.receptive_field == layer.smallest_receptive_field == (field, field)
            assert (layer.jump, layer.start) == (jumps(jump, jump), (start, start))
    summary = summarize(build_model("cnn8"), (3, 32, 32))
    convolutions = 12 * 24 * 31**2 + 9 * (24 * 64 * 31**2 + 64 * 64 * 15**2 + 64 * 256 * 15**2)
    assert summary.macs == convolutions + 9 * 256 * 256 * (7**2 + 7**2 + 3**2) + 256 * 10 == 118_147_360
    assert (summary.total_params, summary.total_params - summary.trainable_params) == (1_972_792, 12 * 24)


def test_the_totals_of_resnet18() -> None:
    summary = summarize(build_model("resnet18"), (3, 32, 32))
    assert summary.total_params == sum(layer.params for layer in summary.layers) == 11_173_962
    assert summary.macs == 555_422_720
    assert summarize(build_model("resnet18"), (3, 32, 32), batch_size=3).macs == 3 * 555_422_720


def test_the_average_pool_after_resnet18_and_what_comes_after_it() -> None:
    net = build_model("resnet18")
    model = nn.Sequential(*list(net.children())[:-2], nn.AvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))
    summary = summarize(model, (3, 32, 32))
    pool = row(summary, "7")
    assert (pool.receptive_field, pool.jump, pool.is_global) == ((133, 133), jumps(32, 32), False)
    assert pool.seen == (32, 32)
    assert row(summarize(build_model("resnet18")), "pool").is_global
    assert row(summarize(build_model("resnet18")), "linear").is_global
    assert summary.last_local is not None


def test_the_field_within_the_image_and_its_fraction() -> None:
    layer = summarize(nn.Conv2d(1, 1, 5, padding=2), (1, 8, 10)).layers[0]
    assert (layer.receptive_field, layer.start) == ((5, 5), (-2, -2))
    assert (layer.seen, layer.smallest_seen) == ((5, 5), (3, 3))
    assert layer.seen_fraction == pytest.approx(25 / 80)


def test_heights_come_before_widths() -> None:
    layer = summarize(nn.Conv2d(1, 1, (3, 5), stride=(2, 1), padding=(1, 0)), (1, 8, 10)).layers[0]
    assert (layer.receptive_field, layer.jump, layer.start) == ((3, 5), jumps(2, 1), (-1, 0))
    assert layer.output_shape == (1, 1, 4, 6)


def test_the_field_of_a_unet_alternates() -> None:
    pooled = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(4), nn.Conv2d(1, 1, 3, padding=1))
    model = nn.Sequential(pooled, nn.Upsample(scale_factor=4), nn.Conv2d(1, 1, 3, padding=1))
    # 3, then 6, then 14 in steps of 4; of four phases the outer two also see a neighbour, the inner two do not.
    last = summarize(model, (1, 32, 32)).layers[-1]
    assert (last.smallest_receptive_field, last.receptive_field) == ((14, 14), (18, 18))
    assert last.jump == jumps(1, 1)


def test_up_sampling_halves_the_jump() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Upsample(scale_factor=(2, 1)))
    assert summarize(model, (1, 8, 8)).layers[-1].to_dict()["jump"] == [0.5, 1]
    deep = summarize(UNet(lambda: nn.ConvTranspose2d(4, 4, 2, stride=2)), (3, 24, 24))
    assert deep.layers[0].jump == jumps(1, 1)


@pytest.mark.skipif(not PUBLISHED_TABLE.exists(), reason=f"the published table is not at {PUBLISHED_TABLE}")
def test_hook_order_prints_the_published_table_row_for_row() -> None:
    expected = list(csv.DictReader(PUBLISHED_TABLE.read_text().splitlines()))
    model = build_model("resnet18")
    for _ in range(2):
        summary = summarize(model, (3, 32, 32), method="hook-order")
        rows = [
            {
                "layer": layer.name,
                "output_shape": ",".join(map(str, (-1, *(layer.output_shape or ())[1:]))),
                "params": str(layer.params),
                "rf_out": str(0 if layer.receptive_field is None else layer.receptive_field[0]),
                "jump_in": str(0 if layer.jump is None else layer.jump[0]),
            }
            for layer in summary.layers
        ]
        assert rows == expected
        assert summary.total_params == 11_173_962
        assert summary.last_local is not None
        assert summary.last_local.receptive_field == (473, 473)


def test_the_conventions_disagree_in_one_sentence() -> None:
    model = build_model("resnet18")
    first = summarize(model)
    assert first.disagreement is not None
    assert "473 x 473 and not 109 x 109" in first.disagreement
    assert summarize(model) == first
    assert summarize(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, 2))).disagreement is None


@dataclass
class State:
    """All state that a summary must not change."""

    modes: list[bool]
    hooks: list[int]
    tensors: dict[str, Tensor]
    identities: dict[str, int]
    gradients: list[int]
    attributes: list[dict[str, Any]]
    process: tuple[Any, ...]
    drawn: tuple[float, float]


def state_of(model: nn.Module) -> State:
    tensors = dict((*model.named_parameters(), *model.named_buffers()))
    drawn = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    state = State(
        modes=[module.training for module in model.modules()],
        hooks=[len(value) for module in model.modules() for key, value in vars(module).items() if "hooks" in key],
        tensors={name: tensor.detach().clone() for name, tensor in tensors.items()},
        identities={name: id(tensor) for name, tensor in tensors.items()},
        gradients=[id(parameter.grad) for parameter in model.parameters()],
        attributes=[
            {key: value for key, value in vars(module).items() if not key.startswith("_")} for module in model.modules()
        ],
        process=(
            nn.Module.__call__,
            len(torch_module._global_forward_hooks),
            len(torch_module._global_forward_pre_hooks),
            torch._C._get_mkldnn_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
            torch.is_grad_enabled(),
        ),
        drawn=(np.random.rand(), float(torch.rand(()))),  # noqa: NPY002
    )
    np.random.set_state(drawn[0])  # noqa: NPY002
    torch.set_rng_state(drawn[1])
    return state


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    before = state_of(model)
    yield
    after = state_of(model)
    torch.testing.assert_close(after.tensors, before.tensors, rtol=0, atol=0, equal_nan=True)
    before.tensors = after.tensors = {}
    assert after == before


class Restless(nn.Module):
    """Changes whatever a forward pass can change; with values it also looks at one."""

    total: Tensor
    calls: Tensor
    statistics: Tensor

    def __init__(self, *, asks: bool = False, fails: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total", torch.zeros(4))
        self.register_buffer("statistics", torch.zeros(2, 4))
        self.asks, self.fails, self.last, self.kept = asks, fails, torch.zeros(()), list[Tensor]()
        self.drop.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        torch.add(self.calls, 1, out=self.calls)
        x = self.drop(self.norm(self.conv(x)))
        x = F.batch_norm(x, self.statistics[0], self.statistics[1], training=True)
        self.total.add_(x.mean(dim=(0, 2, 3)))
        self.statistics = self.statistics * 0.9 + x.mean()
        self.conv.weight.data.clamp_(-0.01, 0.01)
        self.last, self.kept = x, [*self.kept, x]
        self.kept.append(x)
        self.train()
        _ = random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
        if self.asks and x.mean() > 1e9:
            x = x + 1
        if self.fails:
            raise ValueError("no more")
        return x


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_the_state_of_the_model_is_restored(*, asks: bool, fails: bool) -> None:
    model = Restless(asks=asks, fails=fails)
    model.norm.train()
    model.norm.weight.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    model.conv.register_forward_hook(lambda *_: None)
    with unchanged(model):
        if fails:
            with pytest.raises(ModelError, match=r"^Restless: does not run on 1x3x8x8: ValueError: no more;"):
                summarize(model, (3, 8, 8))
        else:
            assert summarize(model, (3, 8, 8)).layers[0].receptive_field == (3, 3)
    model.fails = False
    copy.deepcopy(model)(torch.rand(2, 3, 8, 8)).sum().backward()


def test_the_random_state_of_python_is_restored() -> None:
    # In another process: the annotation checks of the tests draw random numbers, too.
    program = """
import random
from torch import nn
from visionlib.summary import summarize
class Noisy(nn.Module):
    def forward(self, x):
        return x * random.random()
before = random.getstate()
summarize(Noisy(), (3, 8, 8))
assert random.getstate() == before
"""
    run_code(program)


def test_weights_that_share_memory_are_all_restored() -> None:
    flat = torch.arange(8.0)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(flat[:4]), nn.Parameter(flat[4:])

        def forward(self, x: Tensor) -> Tensor:
            self.a.zero_()
            self.b.zero_()
            return x

    summarize(Flat(), (3, 4, 4))
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_gradient_mode_gives_the_same_table(context: Callable[[], Any]) -> None:
    model = Restless()
    plain = summarize(model, (3, 8, 8))
    with context(), unchanged(model):
        assert summarize(model, (3, 8, 8)) == plain
    with torch.inference_mode():
        assert verify(nn.Conv2d(3, 4, 3), (3, 8, 8)).mismatch is None
        made_here = build_model("resnet9")
    assert summarize(made_here, (3, 8, 8)) == summarize(build_model("resnet9"), (3, 8, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_precision_changes_the_memory_alone(dtype: torch.dtype) -> None:
    model = build_model("resnet9")
    plain = summarize(model, (3, 32, 32))
    other = summarize(model.to(dtype), (3, 32, 32))
    factor = torch.finfo(dtype).bits / 32
    assert other.layers == plain.layers
    assert other.activations_bytes == factor * plain.activations_bytes


def test_a_model_without_memory_has_the_same_table() -> None:
    plain = summarize(build_model("resnet18"))
    with torch.device("meta"):
        model = build_model("resnet18")
    assert next(model.parameters()).is_meta
    assert summarize(model) == plain


def test_lazy_modules_give_a_table_and_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    summary = summarize(model, (3, 8, 8))
    assert [layer.params for layer in summary.layers] == [0, 112, 0, 0, 1450]
    assert summary.total_params == 1562
    assert isinstance(model[0], nn.LazyConv2d)
    assert isinstance(model[3].weight, nn.UninitializedParameter)


def test_frozen_parameters_are_not_trainable() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, bias=False))
    model[0].requires_grad_(False)
    summary = summarize(model, (3, 8, 8))
    assert (summary.total_params, summary.trainable_params) == (112 + 144, 144)


def test_a_compiled_model_is_unwrapped() -> None:
    class Compiled(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self._orig_mod = model

        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the model itself is to be traced")

    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert summarize(Compiled(model), (3, 8, 8)).layers == summarize(model, (3, 8, 8)).layers


def test_calls_in_other_threads_are_not_logged() -> None:
    other, is_done = nn.Conv2d(3, 4, 3), threading.Event()
    ran: list[tuple[int, ...]] = []

    def forward(x: Tensor, conv: nn.Module) -> Tensor:
        def run() -> None:
            for _ in range(3):
                ran.append(tuple(conv(torch.zeros(2, 3, 9, 9)).shape))
                other(torch.zeros(2, 3, 9, 9))
            is_done.set()

        thread = threading.Thread(target=run)
        thread.start()
        assert is_done.wait(10)
        thread.join()
        outputs: Tensor = conv(x)
        return outputs

    summary = summarize(Wired(forward, conv=nn.Conv2d(3, 4, 3)), (3, 8, 8))
    assert [layer.name for layer in summary.layers] == ["", "conv"]
    assert ran == [(2, 4, 7, 7)] * 3


def test_two_threads_summarise_at_the_same_time() -> None:
    original = nn.Module.__call__
    models = [build_model(name) for name in ("resnet20", "resnet9", "resnet20", "resnet9")]
    expected = [summarize(model) for model in models]
    summaries: dict[int, ModelSummary] = {}

    def run(number: int) -> None:
        for _ in range(3):
            summaries[number] = summarize(models[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [summaries[number] for number in range(4)] == expected
    assert nn.Module.__call__ is original


def refused(model: nn.Module, input_size: Any = (3, 8, 8), **settings: Any) -> str:
    with pytest.raises(ModelError) as caught:
        summarize(model, input_size, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layer", "input_size", "problem"),
    [
        (nn.Conv2d(4, 4, 3), (3, 8, 8), "1x3x8x8: it expects 4 channels and got 3;"),
        (nn.Conv2d(4, 4, 3, groups=2), (3, 8, 8), "1x3x8x8: it expects 4 channels and got 3;"),
        (nn.ConvTranspose2d(4, 4, 3), (3, 8, 8), "1x3x8x8: it expects 4 channels and got 3;"),
        (nn.BatchNorm2d(4), (3, 8, 8), "1x3x8x8: it expects 4 channels and got 3;"),
        (nn.GroupNorm(2, 4), (3, 8, 8), "1x3x8x8: it expects 4 channels and got 3;"),
        (nn.Linear(10, 2), (3, 8, 8), "1x3x8x8: it expects 10 features and got 8;"),
        (nn.Conv2d(3, 4, 9), (3, 8, 8), "Calculated padded input size per channel: (8 x 8). Kernel size: (9 x 9)."),
        (nn.MaxPool2d(9), (3, 8, 8), "Output size is too small"),
        (nn.ReflectionPad2d(8), (3, 8, 8), "Padding size should be less than"),
        (nn.PixelShuffle(2), (3, 8, 8), "Invalid input shape for pixel_shuffle"),
        (nn.Conv2d(3, 4, 3), (3,), "Expected 3D (unbatched) or 4D (batched) input"),
    ],
)
def test_a_layer_that_refuses_is_named_with_what_it_wants(
    layer: nn.Module, input_size: tuple[int, ...], problem: str
) -> None:
    text = refused(nn.Sequential(nn.Identity(), layer), input_size)
    assert text.startswith(f"1 ({type(layer).__name__}): does not run on ")
    assert problem in text
    assert text.endswith(f"check the input size, which is {'x'.join(map(str, input_size))}")


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor, guide: Tensor) -> Tensor:
        outputs: Tensor = self.conv(image) + guide
        return outputs


def test_several_inputs_are_given_in_order_or_by_name() -> None:
    by_order = summarize(TwoInputs(), ((3, 8, 8), (1, 8, 8)))
    assert by_order.layers[0].receptive_field == (3, 3)
    assert by_order.input_size == (3, 8, 8)
    assert summarize(TwoInputs(), [(3, 8, 8), (1, 8, 8)]) == by_order
    by_name = summarize(TwoInputs(), {"guide": (1, 8, 8), "image": (3, 8, 8)})
    assert by_name.layers == by_order.layers


def test_inputs_that_do_not_match_forward_are_an_error() -> None:
    assert "unexpected keyword argument 'mask'" in refused(TwoInputs(), {"image": (3, 8, 8), "mask": (3, 8, 8)})
    assert "missing 1 required positional argument: 'guide'" in refused(TwoInputs(), (3, 8, 8))
    assert "check the input size, which is 3x8x8 and 3x8x8" in refused(nn.Conv2d(3, 4, 3), ((3, 8, 8), (3, 8, 8)))


def test_a_batch_that_the_model_hard_codes() -> None:
    one = Wired(lambda x, conv: conv(x).view(1, 4, 8, 8), conv=nn.Conv2d(3, 4, 3, padding=1))
    assert summarize(one, (3, 8, 8)).layers[0].output_shape == (1, 4, 8, 8)
    assert "shape '[1, 4, 8, 8]' is invalid" in refused(one, (3, 8, 8), batch_size=2)
    assert refused(one, (3, 8, 8), batch_size=2).endswith("which is 3x8x8 in a batch of 2")
    four = Wired(lambda x: x.view(4, 3, 64))
    assert summarize(four, (3, 8, 8), batch_size=4).layers[0].output_shape == (4, 3, 64)


@pytest.mark.parametrize("model", [nn.Sequential(), nn.Identity()])
def test_a_model_that_does_nothing_sees_each_pixel(model: nn.Module) -> None:
    (layer,) = summarize(model, (3, 8, 8)).layers
    assert (layer.receptive_field, layer.jump, layer.start, layer.params) == ((1, 1), jumps(1, 1), (0, 0), 0)


def test_a_module_without_forward_is_an_error() -> None:
    assert 'missing the required "forward" function' in refused(nn.Module())
    assert refused(nn.Sequential(nn.ModuleList())).startswith("0 (ModuleList): ")


@dataclass
class Result:
    loss: None
    features: Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: {"features": x},
        lambda x: Result(None, x),
        lambda x: (None, [({"x": x},)]),
        lambda x: torch.return_types.max((x, x)),
    ],
    ids=["dict", "dataclass", "nested", "named"],
)
def test_the_first_tensor_of_a_result_is_shown(wrap: Callable[[Tensor], Any]) -> None:
    layer = summarize(Wired(lambda x, conv: wrap(conv(x)), conv=nn.Conv2d(3, 4, 3)), (3, 8, 8)).layers[0]
    assert (layer.output_shape, layer.receptive_field) == ((1, 4, 6, 6), (3, 3))


def test_a_result_without_tensor_has_no_field() -> None:
    layer = summarize(Wired(lambda x: None), (3, 8, 8)).layers[0]
    assert (layer.output_shape, layer.receptive_field, layer.jump) == (None, None, None)


@pytest.mark.parametrize(
    "decide",
    [
        lambda x: x * 2 if x.mean() > 0 else x,
        lambda x: x * x.max().item(),
        lambda x: x if torch.equal(x, x) else -x,
        lambda x: [x, x[x > 0.5]][0],
        lambda x: [x, (x > 0.5).nonzero()][0],
    ],
    ids=["if", "item", "equal", "mask", "nonzero"],
)
def test_a_model_that_needs_values_is_run_on_noise_with_an_assumption(decide: Callable[[Tensor], Tensor]) -> None:
    model = Wired(lambda x, conv: decide(conv(x)), conv=nn.Conv2d(3, 4, 3))
    summary = summarize(model, (3, 8, 8))
    assert row(summary, "conv").receptive_field == (3, 3)
    (sentence,) = summary.assumptions
    assert sentence.startswith("Wired needs the value of a tensor that depends on the image (test_summarize.py:")
    assert "the model was run on noise" in sentence


def test_an_unknown_operation_that_changes_the_shape_is_refused_with_its_line() -> None:
    text = refused(nn.Sequential(nn.Conv2d(3, 3, 3), Wired(lambda x: x.as_strided((1, 3, 6, 4), (108, 36, 6, 1)))))
    assert text.startswith("1 (Wired): aten::as_strided (test_summarize.py:")
    assert "maps (1, 3, 6, 6) to (1, 3, 6, 4) and has no receptive-field rule" in text


def test_a_user_defined_operation_is_listed_or_refused() -> None:
    @torch.library.custom_op("visionlib_tests::double", mutates_args=())
    def double(x: Tensor) -> Tensor:
        return x * 2

    @torch.library.custom_op("visionlib_tests::halve", mutates_args=())
    def halve(x: Tensor) -> Tensor:
        return x[..., ::2].clone()

    double.register_fake(torch.empty_like)
    halve.register_fake(lambda x: x.new_empty(*x.shape[:-1], x.shape[-1] // 2))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Wired(double))
    summary = summarize(model, (3, 8, 8))
    assert summary.assumptions == ("visionlib_tests::double was assumed to be elementwise, in 1 (Wired)",)
    assert summary.layers[-1].notes == ("visionlib_tests::double was assumed to be elementwise",)
    assert summary.layers[-1].receptive_field == (3, 3)
    assert "1 (Wired): visionlib_tests::halve (" in refused(nn.Sequential(nn.Conv2d(3, 4, 3), Wired(halve)))


@pytest.mark.parametrize("size", [(0, 8, 8), (3, -1, 8), (3, 8.0, 8), (), ((3, 8, 8), 8), {"x": (3, 0, 8)}])
def test_an_invalid_size_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"input_size: .* is no size of an image; give channels, height and width"):
        summarize(nn.Conv2d(3, 4, 3), size)


@pytest.mark.parametrize("size", [(3, 10**12, 10**12), (3, 8, 10**7), (3, 10**30, 8), (3, 10**9)])
def test_an_absurd_size_is_refused_at_once(size: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"input_size: {max(size)} pixels on one side are too many"):
        summarize(nn.Conv2d(3, 4, 3), size)


def test_an_absurd_batch_or_width_is_refused_in_one_line() -> None:
    refused(nn.Conv2d(3, 4, 3), (3, 8, 8), batch_size=10**30)
    refused(nn.Conv2d(3, 4, 3), (10**15, 8, 8))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_no_image_is_refused(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=f"batch_size: {batch_size} is out of range; it must be at least 1"):
        summarize(nn.Conv2d(3, 4, 3), (3, 8, 8), batch_size=batch_size)


class Shared(nn.Module):
    """One convolution, called twice, another never, and a block with one inside."""

    def __init__(self) -> None:
        super().__init__()
        self.never, self.twice = nn.Linear(4, 4), nn.Conv2d(3, 3, 3, padding=1)
        self.block = Residual(nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.block(self.twice(F.relu(self.twice(x))))
        return outputs


def test_a_shared_module_has_a_row_per_call_and_its_parameters_once() -> None:
    summary = summarize(Shared(), (3, 8, 8))
    assert [(layer.name, layer.depth, layer.params) for layer in summary.layers] == [
        ("", 0, 0),
        ("twice", 1, 84),
        ("twice", 1, 0),
        ("block", 1, 0),
        ("block.body", 2, 84),
        ("block.shortcut", 2, 0),
        ("block.relu", 2, 0),
    ]
    fields = [layer.receptive_field for layer in summary.layers]
    assert fields == [(7, 7), (3, 3), (5, 5), (7, 7), (7, 7), (5, 5), (7, 7)]
    assert [layer.macs for layer in summary.layers[1:3]] == [9 * 9 * 64] * 2
    assert summary.total_params == 84 + 84 + 20


def test_a_weight_that_two_modules_share_counts_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3, bias=False), nn.Conv2d(3, 3, 3, bias=False))
    model[1].weight = model[0].weight
    summary = summarize(model, (3, 8, 8))
    assert [layer.params for layer in summary.layers] == [0, 81, 0]
    assert (summary.total_params, summary.weights_bytes) == (81, 324)


@pytest.mark.parametrize(
    ("model", "input_size", "macs"),
    [
        (nn.Conv2d(6, 8, 3, stride=2, padding=1), (6, 8, 8), 8 * 4 * 4 * 6 * 9),
        (nn.Conv2d(6, 8, 3, groups=2), (6, 8, 8), 8 * 6 * 6 * 3 * 9),
        (nn.Conv1d(6, 8, 5), (6, 12), 8 * 8 * 6 * 5),
        (nn.Conv3d(2, 4, 3), (2, 5, 6, 7), 4 * 3 * 4 * 5 * 2 * 27),
        # Every one of the 8 x 8 positions is multiplied by a 2 x 2 kernel in 4 channels.
        (nn.ConvTranspose2d(6, 4, 2, stride=2), (6, 8, 8), 6 * 8 * 8 * 4 * 4),
        (nn.Linear(8, 5), (3, 7, 8), 3 * 7 * 8 * 5),
        (nn.Linear(8, 5, bias=False), (3, 7, 8), 3 * 7 * 8 * 5),
        (Wired(lambda x: x @ x.transpose(2, 3)), (3, 7, 8), 3 * 7 * 7 * 8),
        (Wired(lambda x: torch.einsum("nchw,ndhw->ncd", x, x)), (3, 7, 8), 3 * 3 * 56),
        # Scores and the weighted sum: 6 x 6 pairs, 8 channels, twice.
        (Wired(lambda x: F.scaled_dot_product_attention(x, x, x)), (3, 6, 8), 2 * 3 * 6 * 6 * 8),
        (nn.BatchNorm2d(3), (3, 8, 8), 0),
        (nn.AvgPool2d(2), (3, 8, 8), 0),
    ],
)
def test_multiply_accumulates_by_hand(model: nn.Module, input_size: tuple[int, ...], macs: int) -> None:
    assert summarize(model, input_size).macs == macs
    assert summarize(model, input_size, batch_size=4).macs == 4 * macs


def test_the_attention_of_a_transformer_layer_by_hand() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    model = Wired(lambda x, attention: attention(x, x, x, need_weights=False)[0], attention=attention)
    # 5 tokens of 8 features: queries, keys, values and outputs are 8 x 8 each, and two products in between.
    assert summarize(model, (5, 8)).macs == 5 * 4 * 64 + 2 * 25 * 8


def test_memory_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2))
    summary = summarize(model, (3, 8, 8), batch_size=2)
    # 108 + 4 of the convolution; scale, shift, mean and variance of 4 channels, and a count in eight bytes.
    assert summary.weights_bytes == 4 * (112 + 16) + 8
    assert summary.activations_bytes == 4 * 2 * (4 * 64 + 4 * 64 + 4 * 16)
