"""A user-defined network that cannot be trained is refused before anything is written, in one line that says why."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, ModelError, VisionlibError
from visionlib.inference.device import choose_compute
from visionlib.training import TrainConfig, find_learning_rate, train
from visionlib.training.job import make_job
from visionlib.training.network_check import check_network
from visionlib.training.preserved_state import preserved_network

CONFIG = TrainConfig(epochs=1, batch_size=50, crop_px=0, device="cpu", precision="fp32", kernels="off")


class Base(nn.Module):
    """A network that is fine; the others change one thing."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout())
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x).mean((2, 3)))


class GivesDict(Base):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x), "aux": None}


class TupleInTraining(Base):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class ListInEval(Base):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return logits if self.training else [logits]


class Maps(Base):
    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class OneVector(Base):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).mean(0)


class Classes(Base):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).argmax(1, keepdim=True).expand(-1, 10)


class NoGrad(Base):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        return super().forward(x)


class Inference(Base):
    def forward(self, x: Tensor) -> Any:
        with torch.inference_mode():
            return super().forward(x)


class Detached(Base):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).detach().requires_grad_()


class Frozen(Base):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.requires_grad_(False)


class HalfHead(Base):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.head.half()


class Raises(Base):
    def forward(self, x: Tensor) -> Any:
        raise KeyError("no\nsuch thing")


class Overwrites(Base):
    def forward(self, x: Tensor) -> Any:
        y = self.body(x).mean((2, 3)).exp()
        z = y.sin()
        y += 1  # needed for the gradient of sin
        return self.head(z)


class OddExtraState(Base):
    def get_extra_state(self) -> Any:
        return {"path": Path()}


class UnusedLazy(Base):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.spare = nn.LazyLinear(3)


class LateBuffer(Base):
    """Registers a mask in its forward pass, as some attention layers do."""

    mask: Tensor | None

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.register_buffer("mask", None)

    def forward(self, x: Tensor) -> Any:
        self.mask = torch.full((x.shape[-1],) * 2, -torch.inf).triu(1)
        return super().forward(x)


class Resizes(LateBuffer):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.mask = torch.zeros(0)


class OnMeta(Base):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.head = nn.Linear(8, num_classes, device="meta")


def fixed(side: int, channels: int = 3) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, 10))


def convolution(channels: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(channels, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


LOGITS = r"its forward must return floating-point logits of shape \(\d+, 10\)"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GivesDict, rf"returned a dict with the keys logits, aux in training mode, not a tensor; {LOGITS}"),
        (TupleInTraining, rf"returned a tuple of 2 in training mode, not a tensor; {LOGITS}"),
        (ListInEval, rf"returned a list of 1 in eval mode, not a tensor; {LOGITS}"),
        (Maps, rf"returned a float32 tensor of shape \(4, 8, 8, 8\) in training mode; {LOGITS}"),
        (OneVector, rf"returned a float32 tensor of shape \(10,\) in training mode; {LOGITS}"),
        (Classes, rf"returned a int64 tensor of shape \(4, 10\) in training mode; {LOGITS}"),
        (lambda: Base(1), r"returned 1 logits per image in training mode, too few for 10 classes; build it with 10"),
        (lambda: Base(1000), r"returned 1000 logits per image in training mode, too many for 10 classes"),
        (NoGrad, r"no gradient reaches its weights from its outputs in training mode; remove no_grad"),
        (Inference, r"no gradient reaches its weights"),
        (Detached, r"no gradient reaches its weights"),
        (Frozen, r"all of its 6 weight tensors are frozen .*; leave at least its last layer trainable"),
        (nn.Flatten, r"has no weights to train; register"),
        (lambda: Base().half(), r"has weights of float16 \(body\.0\.weight\).*; call \.float\(\)"),
        (lambda: Base().double(), r"has weights of float64"),
        (HalfHead, r"has weights of float16 \(head\.weight\)"),
        (Raises, r"its forward raised KeyError: .*no.*such thing.* on a batch of shape \(4, 3, 16, 16\); fix it"),
        (Overwrites, r"raised RuntimeError: .*modified by an inplace operation"),
        (fixed(32), r"its forward raised RuntimeError: .*; it takes images of 32 px: resize them by --image-size 32"),
        (fixed(16, 1), r"it takes 1 channels and the images have 3: an argument in_channels gets this number"),
        (convolution(1), r"it takes 1 channels and the images have 3"),
        (OddExtraState, r"its entry _extra_state is a dict that a run cannot keep; let get_extra_state return tensors"),
        (LateBuffer, r"its forward pass adds or resizes the buffer mask, .*; register it in __init__"),
        (Resizes, r"its forward pass adds or resizes the buffer mask"),
        (OnMeta, r"has tensors on the meta device, without numbers; build it on the CPU"),
        (lambda n: Base(n), r"missing 1 required positional argument: 'n'; give its arguments defaults"),
        (UnusedLazy, r"its lazy layer spare takes part in no forward pass; remove the layer"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3, dilation=20)), r"its lazy layers cannot be initialized: forward"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    model: Any, message: str, small_shapes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        train(small_shapes, CONFIG, model=model, out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resolutions", [(0.5, 1.0), (0.5,), (0.75, 0.5)])
def test_a_network_of_one_image_size_is_told_to_train_at_full_size(
    resolutions: tuple[float, ...], small_shapes: Dataset, tmp_path: Path
) -> None:
    config = CONFIG.replace(resolutions=resolutions)
    with pytest.raises(ConfigError, match=r"runs on images of 16 px, and not of \d+ px.*set --resolutions 1"):
        train(small_shapes, config, model=fixed(16), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert train(small_shapes, CONFIG, model=fixed(16), out=tmp_path / "run").training.is_file()


def test_the_rate_finder_checks_too(small_shapes: Dataset) -> None:
    with pytest.raises(ModelError, match=r"returned a dict"):
        find_learning_rate(small_shapes, CONFIG, model=GivesDict())


class DislikesLargeBatches(Base):
    def forward(self, x: Tensor) -> Any:
        if len(x) > 16:
            raise IndexError("too many of them")
        return super().forward(x)


def test_an_error_of_the_networks_own_code_is_its_own_later_too(small_shapes: Dataset, tmp_path: Path) -> None:
    message = r"test_network_check\.py raised IndexError in training: too many of them; fix it"
    with pytest.raises(ModelError, match=message):
        train(small_shapes, CONFIG, model=DislikesLargeBatches, out=tmp_path / "run")


class HasGraph(Base):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.cached = self.head.weight * 2  # no leaf, so that deepcopy refuses


class Cached(Base):
    cache: Tensor | None

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.register_buffer("cache", None, persistent=False)

    def forward(self, x: Tensor) -> Any:
        self.cache = x.detach().mean((0, 1))
        return super().forward(x)


def test_a_buffer_that_is_not_kept_may_come_late_unless_it_is_averaged(small_shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adds or resizes the buffer cache"):
        train(small_shapes, CONFIG.replace(averaging="ema"), model=Cached, out=tmp_path / "run")
    assert train(small_shapes, CONFIG, model=Cached, out=tmp_path / "run").training.is_file()


def test_a_network_that_cannot_be_copied_is_refused_where_it_must_be(small_shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"HasGraph: cannot be copied .*, as averaging"):
        train(small_shapes, CONFIG.replace(averaging="ema"), model=HasGraph, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert train(small_shapes, CONFIG, model=HasGraph, out=tmp_path / "run").training.is_file()


class Remembers(Base):
    """Changes whatever a forward pass can change."""

    later: Tensor | None

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.seen, self.calls, self.memory = [0], 0, torch.zeros(2)
        self.register_buffer("scale", torch.ones(1).expand(3))
        self.register_buffer("later", None, persistent=False)
        self.generator = torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        self.seen.append(len(x))
        self.memory += torch.rand(2, generator=self.generator)
        self.later, self.new = x.mean(), x.std()
        self.head.weight.data.mul_(0.5)
        random.random()
        np.random.rand()  # noqa: NPY002
        return super().forward(x)


def test_the_check_leaves_everything_as_it_was(small_shapes: Dataset) -> None:
    network = Remembers()
    network.body.eval()
    job, _ = make_job(small_shapes, CONFIG.replace(model="mine:Net"), choose_compute("cpu", "fp32", 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    states = torch.get_rng_state(), random.getstate(), list(np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    generator = network.generator.get_state()
    check_network(network, job)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (network.seen, network.calls, network.memory.tolist()) == ([0], 0, [0, 0])
    assert network.later is None
    assert not hasattr(network, "new")
    assert torch.equal(network.generator.get_state(), generator)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert list(np.random.get_state()[1]) == states[2]  # type: ignore[index]  # noqa: NPY002
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_refused_network_is_left_as_it_was(small_shapes: Dataset, tmp_path: Path) -> None:
    network = TupleInTraining()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(VisionlibError):
        train(small_shapes, CONFIG, model=network, out=tmp_path / "run")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training


def test_views_and_sparse_tensors_are_restored() -> None:
    network, whole = nn.Module(), torch.zeros(4)
    network.register_buffer("whole", whole)
    network.register_buffer("part", whole[:2])
    network.register_buffer("sparse", torch.eye(2).to_sparse())
    with preserved_network(network):
        network.get_buffer("part").add_(1)
        network.whole = torch.ones(1)
    assert network.get_buffer("whole") is whole
    assert whole.tolist() == [0, 0, 0, 0]
    assert network.get_buffer("part").tolist() == [0, 0]


def test_a_gray_network_trains_on_gray_images(small_shapes: Dataset, tmp_path: Path) -> None:
    splits = {
        name: ImageSplit(split.images[:, :1].contiguous(), split.labels, split.classes, split.index)
        for name, split in small_shapes.splits.items()
    }
    gray = Dataset("gray", splits, small_shapes.classes)
    assert train(gray, CONFIG, model=convolution(1), out=tmp_path / "run").training.is_file()
