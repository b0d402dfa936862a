"""A fused network computes the same with the same weights, and no normalization is left unfused."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.training.cpu import needs_kernels
from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.models import MODELS, build_model
from visionlib.training import TrainConfig
from visionlib.training.config import Kernels
from visionlib.training.cpu import choose_kernels
from visionlib.training.cpu.batch_norm import FusedNorm
from visionlib.training.cpu.fusion import fuse_norms
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in model.modules()]


def fused_norms(model: nn.Module) -> list[FusedNorm]:
    return [module for module in model.modules() if isinstance(module, FusedNorm)]


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"resnet1202"}))
def test_every_normalization_of_a_built_in_network_is_fused(name: str) -> None:
    with torch.device("meta"):
        model = MODELS[name](classes=10, channels=3)
    fused = fuse_norms(model)
    assert kinds(fused).count(FusedNorm) == kinds(fused).count(nn.BatchNorm2d) == kinds(model).count(nn.BatchNorm2d)
    assert nn.ReLU not in kinds(fused)
    # Every ReLU follows a normalization, with or without a shortcut.
    assert sum(norm.has_relu for norm in fused_norms(fused)) == kinds(model).count(nn.ReLU)
    assert {id(parameter) for parameter in fused.parameters()} == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "resnet9", "cnn8"])
def test_in_float32_the_bits_are_the_networks(name: str) -> None:
    inputs, results = torch.randn(4, 3, 16, 16), []
    for is_fused in (False, True):
        model = build_model(name, seed=1).train()
        logits = (fuse_norms(model) if is_fused else model)(inputs)
        logits.square().mean().backward()
        results.append([logits, *(p.grad for p in model.parameters() if p.requires_grad), *model.buffers()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet9", "cnn8"])
def test_one_trace_serves_every_image_size(name: str) -> None:
    model = build_model(name).eval()
    fused = fuse_norms(model)
    for size in ((8, 8), (31, 20), (8, 16)):
        inputs = torch.randn(2, 3, *size)
        assert torch.equal(fused(inputs), model(inputs))


def test_the_network_itself_is_not_changed() -> None:
    model = build_model("resnet20")
    before = {name: type(module) for name, module in model.named_modules()}
    fuse_norms(model)
    assert {name: type(module) for name, module in model.named_modules()} == before


class Branches(nn.Module):
    """Normalizations with two readers, in a sum with itself, and with no reader."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(5))
        self.unweighted = nn.BatchNorm2d(16, affine=False)

    def forward(self, inputs: Tensor) -> Tensor:
        first = self.norms[0](inputs)
        twice = self.norms[1](first) + first
        doubled = self.norms[2](twice)
        doubled = F.relu(doubled + doubled)
        self.norms[3](doubled)
        either = torch.add(inputs, self.norms[4](doubled), alpha=2)
        return torch.sigmoid(self.unweighted(either)) + either


def test_only_operations_with_one_reader_are_fused() -> None:
    inputs, results = torch.randn(6, 16, 4, 4), []
    for is_fused in (False, True):
        torch.manual_seed(0)
        model = Branches()
        outputs = (fuse_norms(model) if is_fused else model)(inputs)
        results.append([outputs, *model.buffers()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
    fused = fuse_norms(Branches())
    assert isinstance(fused, fx.GraphModule)
    by_norm = {name.rsplit("_", 1)[-1]: part for name, part in fused.named_modules() if isinstance(part, FusedNorm)}
    assert sorted(by_norm) == ["0", "1", "2", "3", "4"]
    assert [by_norm[str(number)].has_two_readers for number in range(5)] == [True, False, False, False, False]
    assert sum(node.target is operator.add for node in fused.graph.nodes) == 2  # `doubled + doubled` and the last one


class DataDependent(nn.Module):
    """Branches on its inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else -inputs


def test_data_dependent_control_flow_is_an_error_of_one_line() -> None:
    with pytest.raises(ConfigError, match=r"kernels: DataDependent cannot be traced: .*; leave it at auto") as caught:
        fuse_norms(DataDependent())
    assert "\n" not in str(caught.value)


@needs_kernels
@pytest.mark.parametrize(("name", "rate"), [("resnet20", 0.01), ("cnn8", 0.2)])
def test_losses_with_kernels_equal_torchs(name: str, rate: float, small_shapes: Dataset) -> None:
    split, losses = small_shapes.train, {}
    settings: list[Kernels] = ["off", "auto"]
    for kernels in settings:
        config = TrainConfig(model=name, kernels=kernels)
        compute = choose_kernels(choose_compute("cpu", "bf16"), kernels)
        job = TrainingJob(split, config, compute, split.mean, split.std)
        model = build_model(name).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        take_step = TrainingStep(model, make_optimizer(model, config), job)
        losses[kernels] = [
            take_step(split.images[:64], split.labels[:64], side_px=16, learning_rate=rate)[0].item() for _ in range(8)
        ]
    assert losses["auto"][-1] < 0.9 * losses["auto"][0]
    assert losses["auto"] != losses["off"]
    torch.testing.assert_close(losses["auto"], losses["off"], rtol=0.03, atol=0.02)


@needs_kernels
def test_a_user_defined_model_is_fused_only_with_kernels_on(small_shapes: Dataset) -> None:
    split = small_shapes.train
    cases: list[tuple[Kernels, bool]] = [("auto", False), ("on", True)]
    for kernels, expected in cases:
        config = TrainConfig(model="networks:own", kernels=kernels)
        compute = choose_kernels(choose_compute("cpu", "bf16"), kernels)
        job = TrainingJob(split, config, compute, split.mean, split.std)
        model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        take_step = TrainingStep(model.train(), make_optimizer(model, config), job)
        assert bool(fused_norms(take_step._model)) is expected
