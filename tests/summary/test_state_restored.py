"""A summary leaves the network and the process as it found them, bit for bit, also when it raises."""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from tests.summary.networks import SMALL, Wired
from visionlib.errors import ModelError
from visionlib.summary import summarize
from visionlib.summary.calls import first_tensor


def snapshot(model: nn.Module) -> list[tuple[str, Any]]:
    """Everything within a network, and around it, that a forward pass may change; tensors as bytes."""
    found: list[tuple[str, Any]] = []
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            found.append((f"{name}.{key}", describe(value)))
        found.append((f"{name}.class", type(module)))
        found.append((f"{name}.training", module.training))
    return [*found, *process()]


def describe(value: Any) -> Any:
    """A value by which a change shows: identities of objects, bytes of tensors, states of generators."""
    if isinstance(value, Tensor):
        return describe_tensor(value)
    if isinstance(value, dict):
        return id(value), [(key, describe(part)) for key, part in value.items()]
    if isinstance(value, list | deque | tuple):
        return id(value), [describe(part) for part in value]
    if isinstance(value, set):
        return id(value), sorted(map(repr, value))
    if isinstance(value, torch.Generator):
        return id(value), value.get_state().tolist()
    if isinstance(value, np.random.Generator):
        return id(value), repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return id(value), value.getstate()
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, SimpleNamespace):
        return id(value), describe(vars(value))
    return id(value)


def describe_tensor(tensor: Tensor) -> Any:
    kind = type(tensor)
    with torch._C.DisableTorchFunctionSubclass():
        described = [id(tensor), kind, tensor.requires_grad, id(tensor.grad)]
        described += [(key, describe(value)) for key, value in vars(tensor).items()]
        for hooks in (tensor._backward_hooks, tensor._post_accumulate_grad_hooks):
            described.append(None if hooks is None else list(hooks))
        if tensor.grad is not None:
            described.append(describe_tensor(tensor.grad))
        if tensor.layout != torch.strided:
            return [*described, tensor.layout, tensor.to_dense().numpy().tobytes()]
        storage = tensor.untyped_storage()
        content = storage_bytes(storage) if storage.device.type == "cpu" else None
        view = tuple(tensor.size()), tensor.stride(), tensor.storage_offset(), tensor.dtype
        version = None if tensor.is_inference() else tensor._version
        return [*described, view, storage._cdata, storage.nbytes(), content, version]


def storage_bytes(storage: Any) -> bytes:
    return bytes(storage.tolist())


def process() -> list[tuple[str, Any]]:
    """Settings of the whole process."""
    return [
        ("torch generator", torch.get_rng_state().tolist()),
        ("numpy generator", repr(np.random.get_state())),  # noqa: NPY002
        ("dtype", torch.get_default_dtype()),
        ("threads", torch.get_num_threads()),
        ("gradients", (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled())),
        ("autocast", (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))),
        ("deterministic", torch.are_deterministic_algorithms_enabled()),
        ("cudnn", [getattr(torch.backends.cudnn, key) for key in ("enabled", "benchmark", "deterministic")]),
        ("onednn", torch.backends.mkldnn.enabled),
        ("attention", [getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "math", "cudnn")]),
        ("fast path", torch.backends.mha.get_fastpath_enabled()),
        ("call", id(nn.Module.__call__)),
        ("global hooks", [list(v) for k, v in vars(torch_module).items() if k.startswith("_global") and v is not None]),
    ]


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    before = snapshot(model)
    yield
    after = snapshot(model)
    assert [name for name, _ in after] == [name for name, _ in before]
    assert [name for (name, a), (_, b) in zip(before, after, strict=True) if a != b] == []


def test_the_comparison_sees_what_it_must_see() -> None:
    # An oracle that cannot fail proves nothing.
    changes: list[Callable[[Any], object]] = [
        lambda net: net[0].weight.data.add_(1e-3),
        lambda net: setattr(net[0].weight, "grad", torch.zeros_like(net[0].weight)),
        lambda net: net[1].running_mean.resize_(8),
        lambda net: net[0].register_forward_hook(print),
        lambda net: net[1].train(not net[1].training),
        lambda net: net[0].weight.requires_grad_(False),
        lambda net: setattr(net[0].weight, "data", net[0].weight.data.clone()),
        lambda net: net[0].weight.register_hook(print),
        lambda net: torch.rand(()),
        lambda net: np.random.rand(),  # noqa: NPY002
    ]
    for change in changes:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        with pytest.raises(AssertionError), unchanged(net):
            change(net)


def unsettled(model: Any) -> nn.Module:
    """Give a network the state of one in the middle of a training, with hooks, frozen weights and a generator."""
    for number, module in enumerate(model.modules()):
        module.training = number % 3 != 0
        module.register_forward_hook(lambda *_: None)
        if not list(module.children()):
            module.register_full_backward_hook(lambda *_: None)
        module.generator = torch.Generator().manual_seed(number)
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad = number % 4 != 0
        if number % 2 == 0:
            parameter.grad = torch.full_like(parameter, number)
        elif parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient)
    return model  # type: ignore[no-any-return]


@torch.library.custom_op("visionlib_tests::unknown", mutates_args=())
def unknown(x: Tensor) -> Tensor:
    return x.flatten()[:1].clone()


unknown.register_fake(lambda x: x.new_empty(1))


class RaisesAtLast(nn.Module):
    def forward(self, inputs: Any) -> Any:
        raise ValueError("at the last step")


@pytest.mark.parametrize("name", SMALL)
def test_every_network_of_the_zoo_is_left_as_it_was(name: str) -> None:
    build, size, _ = SMALL[name]
    model = unsettled(build())
    with unchanged(model):
        summarize(model, size)


WITH_STATE = {"plain", "weight_normalized", "called_twice", "residual", "in_place", "masked", "token_attention"}
"""Networks with normalization, tied or computed weights, buffers, and writes in place."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in WITH_STATE else [pytest.mark.slow]) for name in SMALL]
)
def test_every_network_of_the_zoo_is_left_as_it_was_by_a_failure(name: str) -> None:
    build, size, _ = SMALL[name]
    model = unsettled(build())
    for last, problem in (
        (RaisesAtLast(), "1 .RaisesAtLast.: does not run on .*ValueError: at the last step"),
        (
            Wired(lambda x: unknown(first_tensor(x))),
            "1 .Wired.: visionlib_tests::unknown .* has no receptive-field rule",
        ),
    ):
        failing = nn.Sequential(model, unsettled(last))
        with unchanged(failing), pytest.raises(ModelError, match=problem):
            summarize(failing, size)


class Playground(nn.Module):
    """Holds state of every kind, and changes some of it in its forward pass."""

    total: Tensor

    def __init__(self, change: Callable[[Any, Any], object], ending: str) -> None:
        super().__init__()
        self.change, self.ending = change, ending
        self.conv, self.norm, self.unused = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2)
        self.tied = nn.Conv2d(3, 4, 3)
        self.tied.weight = self.conv.weight
        self.register_buffer("seen", torch.zeros(0))
        self.register_buffer("total", torch.arange(4.0))
        self.register_buffer("alias", self.total[1:3], persistent=False)
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("nothing", None)
        self.plain, self.array, self.members = torch.ones(3), np.zeros(3), {1, 2}
        self.kept: dict[str, Any] = {"a": [torch.zeros(1)], "b": OrderedDict(c=deque([1]))}
        self.space = SimpleNamespace(last=None, items=[1])
        self.hidden = [nn.BatchNorm2d(3)]
        self.generator, self.numpy_generator = torch.Generator().manual_seed(1), np.random.default_rng(1)
        self.python_generator = random.Random(1)
        self.conv.weight.grad = torch.ones_like(self.conv.weight)
        self.handle = self.conv.register_forward_hook(lambda *_: None)
        self.weight_handle = self.conv.weight.register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.change(self, x)
        if self.ending == "asks" and x.mean() > 1e9:
            x = x + 1
        if self.ending == "raises":
            raise ValueError("at the last step")
        if self.ending == "interrupted":
            raise KeyboardInterrupt
        return x


def backward(m: Any) -> None:
    with torch.enable_grad():
        m.unused.weight.sum().backward()
        m.conv.weight.sum().backward()


def reorder(m: Any) -> None:
    weight, total = m.conv.weight, m.total
    del m.conv.weight, m.total
    m.conv.weight, m.total = weight, total


CHANGES: dict[str, Callable[[Any, Any], object]] = {
    # Buffers and parameters: values, sizes, memory and identity.
    "resized": lambda m, x: m.seen.resize_(8).fill_(1),
    "resized_alias": lambda m, x: m.alias.resize_(9).fill_(1),
    "resized_as_the_image": lambda m, x: m.seen.resize_as_(x).copy_(x),
    "written_as_out": lambda m, x: torch.add(m.total, 1, out=m.total),
    "written_as_out_of_the_image": lambda m, x: torch.add(x, 1, out=m.seen),
    "written_through_alias": lambda m, x: m.alias.fill_(9),
    "written_through_view": lambda m, x: m.conv.weight[1].zero_(),
    "written_through_slice": lambda m, x: m.turned.__setitem__((0, slice(None)), 5.0),
    "written_through_numpy": lambda m, x: np.add(m.total.numpy(), 1, out=m.total.numpy()),
    "written_in_a_list": lambda m, x: torch._foreach_add_([m.total, m.conv.weight], 1.0),
    "written_twice": lambda m, x: (m.total.add_(1), m.total.resize_(2), m.total.resize_(12).zero_()),
    "written_storage": lambda m, x: m.total.untyped_storage().fill_(0),
    "resized_storage": lambda m, x: m.total.untyped_storage().resize_(400),
    "emptied_storage": lambda m, x: m.unused.weight.untyped_storage().resize_(0),
    "clamped_data": lambda m, x: m.conv.weight.data.clamp_(-0.1, 0.1),
    "turned": lambda m, x: m.turned.t_(),
    "squeezed": lambda m, x: m.total.unsqueeze_(0),
    "sparse_written": lambda m, x: m.sparse.mul_(2),
    "set": lambda m, x: m.seen.set_(torch.ones(5)),
    "set_parameter": lambda m, x: m.unused.weight.set_(torch.ones(5)),
    "data_replaced": lambda m, x: setattr(m.seen, "data", torch.ones(7)),
    "data_halved": lambda m, x: setattr(m.unused.weight, "data", m.unused.weight.data.half()),
    "swapped": lambda m, x: getattr(torch.utils, "swap_tensors")(m.unused.bias, nn.Parameter(torch.ones(9))),  # noqa: B009
    "buffer_replaced": lambda m, x: setattr(m, "total", x.mean()),
    "buffer_deleted": lambda m, x: delattr(m, "seen"),
    "buffer_added": lambda m, x: m.register_buffer("late", torch.ones(2), persistent=False),
    "buffer_of_none": lambda m, x: setattr(m, "nothing", torch.ones(2)),
    "parameter_replaced": lambda m, x: setattr(m.conv, "weight", nn.Parameter(torch.ones(4, 3, 3, 3))),
    "parameter_added": lambda m, x: setattr(m.conv, "gain", nn.Parameter(torch.ones(1))),
    "parameter_and_buffer_reordered": lambda m, x: reorder(m),
    "stepped": lambda m, x: torch.optim.SGD(m.parameters(), 0.1).step(),
    "loaded": lambda m, x: m.unused.load_state_dict({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, assign=True),
    "parametrized": lambda m, x: nn.utils.parametrizations.weight_norm(m.unused),
    "module_added": lambda m, x: m.add_module("late", nn.Conv2d(4, 4, 1)),
    "module_replaced": lambda m, x: setattr(m, "norm", nn.Identity()),
    "module_converted": lambda m, x: m.double(),
    "class_changed": lambda m, x: setattr(m.norm, "__class__", nn.BatchNorm1d),
    "statistics": lambda m, x: F.batch_norm(
        torch.ones(2, 4, 1, 1), m.norm.running_mean, m.norm.running_var, training=True
    ),
    "statistics_of_the_image": lambda m, x: m.norm.train()(x),
    "hidden_module": lambda m, x: m.hidden[0](torch.ones(2, 3, 4, 4)),
    # Attributes.
    "plain_tensor": lambda m, x: m.plain.add_(1),
    "attribute": lambda m, x: setattr(m, "plain", x),
    "attribute_added": lambda m, x: setattr(m, "late", x),
    "nested_list": lambda m, x: m.kept["a"].append(x),
    "nested_tensor": lambda m, x: m.kept["a"][0].add_(1),
    "nested_queue": lambda m, x: m.kept["b"]["c"].appendleft(x),
    "nested_dict": lambda m, x: m.kept["b"].update(d=x),
    "namespace": lambda m, x: setattr(m.space, "last", x),
    "namespace_list": lambda m, x: m.space.items.clear(),
    "array": lambda m, x: np.add(m.array, 1, out=m.array),
    "members": lambda m, x: m.members.add(3),
    # Gradients, hooks, modes.
    "gradient_written": lambda m, x: m.conv.weight.grad.zero_(),
    "gradient_dropped": lambda m, x: m.zero_grad(set_to_none=True),
    "gradient_computed": lambda m, x: backward(m),
    "frozen": lambda m, x: m.requires_grad_(False),
    "hook_added": lambda m, x: (m.conv.register_forward_hook(print), m.norm.register_full_backward_hook(print)),
    "hook_removed": lambda m, x: (m.handle.remove(), m.weight_handle.remove()),
    "hook_on_a_weight": lambda m, x: (
        m.conv.weight.register_hook(print),
        m.unused.weight.register_hook(print),
        m.unused.weight.register_post_accumulate_grad_hook(print),
    ),
    "hook_on_everything": lambda m, x: torch_module.register_module_forward_hook(print),
    "modes": lambda m, x: m.train(),
    # Generators and settings of the process.
    "generator": lambda m, x: torch.rand(2, generator=m.generator),
    "numpy_generator": lambda m, x: m.numpy_generator.random(),
    "python_generator": lambda m, x: m.python_generator.random(),
    "global_generators": lambda m, x: (torch.manual_seed(5), np.random.seed(5), random.seed(5)),  # noqa: NPY002
    "default_dtype": lambda m, x: torch.set_default_dtype(torch.float64),
    "grad_mode": lambda m, x: torch.set_grad_enabled(True),
    "cudnn_search": lambda m, x: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn": lambda m, x: setattr(torch.backends.cudnn, "enabled", False),
    "deterministic": lambda m, x: torch.use_deterministic_algorithms(True),
    "threads": lambda m, x: torch.set_num_threads(torch.get_num_threads() + 1),
    "autocast": lambda m, x: torch.set_autocast_enabled("cpu", True),
    "autocast_dtype": lambda m, x: torch.set_autocast_dtype("cpu", torch.float16),
    "attention_kernels": lambda m, x: torch.backends.cuda.enable_flash_sdp(False),
    "anomaly": lambda m, x: torch.autograd.set_detect_anomaly(True),
}


ENDINGS = ["returns", "asks", "raises", "interrupted"]


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        # Each change with the ending that restores most, after two runs, and with one of the others.
        pytest.param(change, ending, marks=[] if ending in ("asks", ENDINGS[number % 4]) else [pytest.mark.slow])
        for number, change in enumerate(CHANGES)
        for ending in ENDINGS
    ],
)
def test_whatever_a_forward_pass_changes_is_restored(change: str, ending: str) -> None:
    model = Playground(CHANGES[change], ending)
    with unchanged(model):
        if ending in ("returns", "asks"):
            assert summarize(model, (3, 8, 8)).layers[0].receptive_field == (3, 3)
        else:
            with pytest.raises(ModelError if ending == "raises" else KeyboardInterrupt):
                summarize(model, (3, 8, 8))
