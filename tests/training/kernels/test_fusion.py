"""A fused network computes the same with the same weights, and has nothing left to fuse."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.training.kernels import needs_kernels
from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.models import MODELS, build_model
from visionlib.training import TrainConfig
from visionlib.training.config import Kernels
from visionlib.training.cpu.batch_norm import FusedNorm
from visionlib.training.cpu.fusion import fuse_norms
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in model.modules()]


def fused_parts(model: nn.Module) -> list[FusedNorm]:
    return [module for module in model.modules() if isinstance(module, FusedNorm)]


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"resnet1202"}))
def test_every_network_is_fused_whole(name: str) -> None:
    with torch.device("meta"):
        model = MODELS[name](classes=10, channels=3)
    fused = fuse_norms(model)
    assert kinds(fused).count(FusedNorm) == kinds(fused).count(nn.BatchNorm2d) == kinds(model).count(nn.BatchNorm2d)
    assert nn.ReLU not in kinds(fused)
    # All rectifiers of a network stand behind a normalisation, by itself or with a shortcut.
    assert sum(part.rectifies for part in fused_parts(fused)) == kinds(model).count(nn.ReLU)
    assert {id(parameter) for parameter in fused.parameters()} == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "resnet9"])
def test_in_float_nothing_changes_at_all(name: str) -> None:
    inputs, found = torch.randn(4, 3, 16, 16), []
    for is_fused in (False, True):
        model = build_model(name, seed=1).train()
        logits = (fuse_norms(model) if is_fused else model)(inputs)
        logits.square().mean().backward()
        found.append([logits, *(parameter.grad for parameter in model.parameters()), *model.buffers()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_what_it_is_made_of_is_left_as_it_was() -> None:
    model = build_model("resnet20")
    before = {name: type(module) for name, module in model.named_modules()}
    fuse_norms(model)
    assert {name: type(module) for name, module in model.named_modules()} == before


class Branches(nn.Module):
    """Normalisations that other things stand around: two readers, a sum with itself, one that is read by nobody."""

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


def test_only_what_follows_alone_is_fused() -> None:
    inputs, found = torch.randn(6, 16, 4, 4), []
    for is_fused in (False, True):
        torch.manual_seed(0)
        model = Branches()
        outputs = (fuse_norms(model) if is_fused else model)(inputs)
        found.append([outputs, *model.buffers()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))
    fused = fuse_norms(Branches())
    assert isinstance(fused, fx.GraphModule)
    by_norm = {name.rsplit("_", 1)[-1]: part for name, part in fused.named_modules() if isinstance(part, FusedNorm)}
    assert sorted(by_norm) == ["0", "1", "2", "3", "4"]
    assert [by_norm[str(at)].forks for at in range(5)] == [True, False, False, False, False]
    assert sum(node.target is operator.add for node in fused.graph.nodes) == 2  # the doubled one, and the last


class Choosing(nn.Module):
    """Does what the image tells it."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else -inputs


def test_a_network_that_chooses_is_refused_in_a_line() -> None:
    with pytest.raises(
        ConfigError, match=r"kernels: what Choosing does cannot be written down: .*; leave it at auto"
    ) as it:
        fuse_norms(Choosing())
    assert "\n" not in str(it.value)


@needs_kernels
def test_a_network_learns_by_kernels_as_by_torch(small_shapes: Dataset) -> None:
    split, found = small_shapes.train, {}
    both: list[Kernels] = ["off", "auto"]
    for kernels in both:
        config = TrainConfig(model="resnet20", kernels=kernels)
        fit = TrainingJob(split, config, choose_compute("cpu", "bf16", kernels=config.kernels), split.mean, split.std)
        model = build_model("resnet20").to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        take_step = TrainingStep(model, make_optimizer(model, config), fit)
        losses = [
            take_step(split.images[:64], split.labels[:64], side_px=16, learning_rate=0.01)[0].item() for _ in range(8)
        ]
        found[kernels] = losses
    assert found["auto"][-1] < 0.9 * found["auto"][0]
    assert found["auto"] != found["off"]
    torch.testing.assert_close(found["auto"], found["off"], rtol=0.03, atol=0.02)


@needs_kernels
def test_a_network_of_ones_own_is_fused_only_if_asked(small_shapes: Dataset) -> None:
    split = small_shapes.train
    cases: list[tuple[Kernels, bool]] = [("auto", False), ("on", True)]
    for kernels, expected in cases:
        config = TrainConfig(model="networks:own", kernels=kernels)
        fit = TrainingJob(split, config, choose_compute("cpu", "bf16", kernels=config.kernels), split.mean, split.std)
        model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        take_step = TrainingStep(model.train(), make_optimizer(model, config), fit)
        assert bool(fused_parts(take_step._model)) is expected
