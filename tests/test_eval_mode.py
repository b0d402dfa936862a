"""Whatever runs inside `eval_mode`, and whatever its caller is in the middle of: afterwards all is as before."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from visionlib.eval_mode import Precision, eval_mode, input_format, unwrap_model

INPUTS = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
CONTEXTS = [nullcontext, torch.no_grad, torch.inference_mode, torch.enable_grad]


class Mixed(nn.Module):
    """Partly in training mode, one weight frozen, one gradient set, a hook registered; draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(8, 3)
        self.train()
        self.conv2.eval()
        self.norm.eval()
        self.conv1.weight.requires_grad = False
        self.linear.weight.grad = torch.full_like(self.linear.weight, 3.0)
        self.conv1.register_forward_hook(lambda module, args, output: None)

    def forward(self, inputs: Tensor) -> Tensor:
        torch.rand(3)
        features = self.conv2(self.norm(self.conv1(inputs)))
        logits: Tensor = self.linear(self.dropout(features.mean((2, 3))))
        return logits


def state_of(model: nn.Module) -> dict[str, object]:
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "weights and statistics": [value.tolist() for value in model.state_dict().values()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "generator": torch.get_rng_state().tolist(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
    }


@pytest.fixture(params=[False, True], ids=["without gradients", "with gradients"])
def has_gradients(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_everything_is_restored(
    context: Callable[[], AbstractContextManager[object]], precision: Precision, has_gradients: bool
) -> None:
    model = Mixed()
    with context():
        before = state_of(model)
        with eval_mode(model, precision=precision, has_gradients=has_gradients) as network:
            network(INPUTS.clone())
        assert state_of(model) == before


def fail_halfway(model: nn.Module, has_gradients: bool) -> None:
    with eval_mode(model, has_gradients=has_gradients) as network:
        network(INPUTS.clone())
        raise OverflowError("halfway")


@pytest.mark.parametrize("context", CONTEXTS)
def test_everything_is_restored_if_the_block_raises_halfway(
    context: Callable[[], AbstractContextManager[object]], has_gradients: bool
) -> None:
    model = Mixed()
    with context():
        before = state_of(model)
        with pytest.raises(OverflowError, match="halfway"):
            fail_halfway(model, has_gradients)
        assert state_of(model) == before


def test_a_block_that_changes_modes_and_generators_itself_is_undone() -> None:
    model = Mixed()
    before = state_of(model)
    with eval_mode(model, has_gradients=True):
        model.train()
        torch.manual_seed(99)
        torch.set_grad_enabled(False)
    assert state_of(model) == before


def test_inside_all_modules_are_in_eval_mode_and_statistics_are_not_updated(has_gradients: bool) -> None:
    model = Mixed()
    model.norm.train()
    statistics = [buffer.clone() for buffer in model.buffers()]
    with eval_mode(model, has_gradients=has_gradients) as network:
        assert not any(module.training for module in network.modules())
        first, second = network(INPUTS), network(INPUTS)
    assert torch.equal(first, second)  # no dropout
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), statistics, strict=True))


@pytest.mark.parametrize("context", CONTEXTS)
def test_gradients_are_off_unless_asked_for(context: Callable[[], AbstractContextManager[object]]) -> None:
    model = Mixed()
    with context(), eval_mode(model) as network:
        assert not torch.is_grad_enabled()
        assert not network(INPUTS).requires_grad


@pytest.mark.parametrize("context", CONTEXTS)
def test_gradients_of_inputs_within_any_context_of_the_caller(
    context: Callable[[], AbstractContextManager[object]],
) -> None:
    model, gradients = Mixed(), []
    for each in (nullcontext, context):
        with each(), eval_mode(model, has_gradients=True) as network:
            assert not any(parameter.requires_grad for parameter in network.parameters())
            inputs = INPUTS.clone().requires_grad_()
            gradients.append(torch.autograd.grad(network(inputs).sum(), inputs)[0])
    assert torch.equal(*gradients)
    assert gradients[0].any()


@pytest.mark.parametrize("callers", ["fp32", "bf16"])
def test_the_precision_does_not_depend_on_the_callers_autocast(callers: str, has_gradients: bool) -> None:
    model, dtypes, outputs = Mixed(), [], []
    handle = model.conv1.register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=callers == "bf16"),
            eval_mode(model, precision=precision, has_gradients=has_gradients) as network,
        ):
            outputs.append(network(INPUTS).float())
    handle.remove()
    assert dtypes == [torch.float32, torch.bfloat16]
    assert not torch.equal(*outputs)
    torch.testing.assert_close(*outputs, rtol=0.05, atol=0.05)


def test_the_callers_training_goes_on_within_its_autocast(has_gradients: bool) -> None:
    model = Mixed()
    with torch.autocast("cpu", torch.bfloat16):
        with eval_mode(model, precision="bf16", has_gradients=has_gradients) as network:
            network(INPUTS)
        model(INPUTS).sum().backward()
    assert all((parameter.grad is not None) is parameter.requires_grad for parameter in model.parameters())


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone, which DistributedDataParallel needs."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.skipif(os.name != "posix", reason="gloo")
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        DistributedDataParallel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: torch.compile(DistributedDataParallel(model), backend="eager"),
    ],
    ids=["DataParallel", "DistributedDataParallel", "compile", "compiled DistributedDataParallel"],
)
def test_a_wrapped_network_is_taken_out_and_its_wrapper_restored(
    wrap: Callable[[nn.Module], nn.Module], has_gradients: bool
) -> None:
    model = Mixed()
    wrapped = wrap(model)
    assert unwrap_model(wrapped) is model
    wrapped.train()
    before = state_of(wrapped), state_of(model)
    with eval_mode(wrapped, has_gradients=has_gradients) as network:
        assert network is model
        assert not wrapped.training
        network(INPUTS)
    assert (state_of(wrapped), state_of(model)) == before


def test_a_network_without_wrapper_is_itself() -> None:
    model = Mixed()
    assert unwrap_model(model) is model
    with eval_mode(model) as network:
        assert network is model


def test_the_input_format_is_that_of_the_first_floating_point_tensor() -> None:
    assert input_format(nn.Linear(2, 2).double()) == (torch.device("cpu"), torch.float64)
    assert input_format(nn.ReLU()) == (torch.device("cpu"), torch.float32)
    counter = nn.Module()
    counter.register_buffer("calls", torch.zeros((), dtype=torch.int64))
    counter.register_buffer("scale", torch.ones(2, dtype=torch.bfloat16))
    assert input_format(counter) == (torch.device("cpu"), torch.bfloat16)


@pytest.mark.gpu
def test_the_generator_of_a_gpu_is_restored() -> None:
    model = nn.Linear(2, 2).to("cuda")
    before = torch.cuda.get_rng_state()
    with eval_mode(model):
        torch.rand(3, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), before)
