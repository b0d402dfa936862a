"""User-defined networks of every kind train, are kept, and are loaded and resumed with the same outputs."""

import functools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.interrupting import interrupt_after, same_weights
from visionlib.data import Dataset
from visionlib.errors import ModelError
from visionlib.evaluation import evaluate
from visionlib.explanation import explain
from visionlib.inference.run_model import load_model
from visionlib.inference.trained_model import TrainedModel
from visionlib.models import build_model, load_weights
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig, resume, train

CONFIG = TrainConfig(
    epochs=1, batch_size=50, crop_px=0, device="cpu", precision="fp32", kernels="off", resolutions=(1.0,)
)


class Plain(nn.Module):
    """A small convolutional network, the base of the others."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, num_classes)

    def features(self, x: Tensor) -> Any:
        return self.pool(self.body(x)).flatten(1)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))


class Tied(Plain):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.u, self.v = nn.Linear(8, 8), nn.Linear(8, 8)
        self.v.weight = self.u.weight

    def forward(self, x: Tensor) -> Any:
        return self.head(self.v(self.u(self.features(x)).relu()).relu())


class Alias(Plain):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.encoder, self.heads = self.body, nn.ModuleList([self.head])


class ExpandedBuffers(Plain):
    mask: Tensor
    scale: Tensor

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.register_buffer("scale", torch.full((1,), 0.5).expand(8))
        self.register_buffer("mask", torch.triu(torch.full((8, 8), -torch.inf), 1))
        self.register_buffer("part", self.mask[:3])  # a view of another one
        self.register_buffer("hidden", torch.ones(1).expand(4), persistent=False)

    def forward(self, x: Tensor) -> Any:
        attention = (torch.zeros(8, 8, device=x.device) + self.mask).softmax(1)
        return self.head(self.features(x) @ attention * self.scale)


class ExtraState(Plain):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.calls = 0

    def get_extra_state(self) -> dict[str, Any]:
        return {"calls": self.calls, "names": ["a"], "table": torch.arange(3)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]

    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        return super().forward(x)


class Sparse(Plain):
    adjacency: Tensor

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.register_buffer("adjacency", torch.eye(8).mul(2).to_sparse())

    def forward(self, x: Tensor) -> Any:
        return self.head((self.adjacency @ self.features(x).T).T)


class FiveDimensions(Plain):
    grid: Tensor

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.volume = nn.Conv3d(1, 1, 3, padding=1)
        self.register_buffer("grid", torch.ones(1, 1, 1, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return super().forward(self.volume(x[:, None] * self.grid).squeeze(1))


class Lazy(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(num_classes)
        )

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


KINDS = [Plain, Tied, Alias, ExpandedBuffers, ExtraState, Sparse, FiveDimensions, Lazy]
SETTINGS: dict[str, Any] = {"averaging": "ema", "optimizer": "muon", "sam_radius": 0.05, "sam_start": 0.5}


@pytest.fixture(autouse=True)
def interrupts_arrive() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_kept_with_all_of_its_numbers(
    kind: type[nn.Module], small_shapes: Dataset, tmp_path: Path
) -> None:
    network = kind(num_classes=len(small_shapes.classes))
    run = train(small_shapes, CONFIG.replace(**SETTINGS), model=network, out=tmp_path / "run")
    trained = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
    fresh = TrainedModel.from_run(run, network=kind(num_classes=len(small_shapes.classes)), device="cpu")
    loaded = fresh.network.state_dict()
    assert trained.keys() == {key for key, value in loaded.items() if isinstance(value, Tensor)}
    for name, value in trained.items():
        assert torch.equal(value.to_dense(), loaded[name].to_dense()), name
    accuracy = pytest.approx(read_json(run.training)["test_accuracy"])
    assert evaluate(fresh, small_shapes).accuracy == evaluate(run).accuracy == accuracy
    maps = explain(fresh, small_shapes.test.subset(torch.arange(3)), method="grad-cam")
    assert maps.maps.shape[0] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_of_every_kind_ends_with_the_same_weights(
    kind: type[nn.Module], small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.replace(averaging="ema")
    whole = train(small_shapes, config, model=functools.partial(kind), out=tmp_path / "whole")
    with monkeypatch.context() as patched:
        interrupt_after(2, patched, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(small_shapes, config, model=functools.partial(kind), out=tmp_path / "run")
    with pytest.raises(ModelError, match=r"passed in memory.*resume\(run, model=\.\.\.\)"):
        resume(tmp_path / "run", dataset=small_shapes)
    run = resume(tmp_path / "run", dataset=small_shapes, model=functools.partial(kind))
    assert run.weights.read_bytes() == whole.weights.read_bytes()


def test_a_network_built_already_is_resumed_from_its_own_first_weights(
    small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = len(small_shapes.classes)
    first = Plain(k)
    whole = train(small_shapes, CONFIG, model=_copy(first), out=tmp_path / "whole")
    with monkeypatch.context() as patched:
        interrupt_after(1, patched, _die)
        with pytest.raises(SystemExit, match="killed"):
            train(small_shapes, CONFIG, model=_copy(first), out=tmp_path / "run")
    run = resume(tmp_path / "run", dataset=small_shapes, model=Plain(k))  # with other weights
    assert same_weights(run, whole)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Plain, "tests.training.test_own_network:Plain"),
        (functools.partial(Plain, in_channels=3), "in-memory:Plain"),
        (lambda num_classes: Plain(num_classes), "in-memory:<lambda>"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), "in-memory:Sequential"),
        ("tests.training.test_own_network:Plain", "tests.training.test_own_network:Plain"),
    ],
)
def test_a_run_records_a_name_that_leads_to_the_network_or_says_that_none_does(
    model: Any, name: str, small_shapes: Dataset, tmp_path: Path
) -> None:
    if isinstance(model, nn.Sequential):
        model[1] = nn.Linear(3 * 16 * 16, len(small_shapes.classes))
    run = train(small_shapes, CONFIG, model=model, out=tmp_path / "run")
    assert read_json(run.config)["config"]["model"] == read_json(run.model)["model"] == name
    assert evaluate(run).accuracy == pytest.approx(read_json(run.training)["test_accuracy"])
    if name.startswith("in-memory"):
        message = rf"^{name}: this network was passed in memory, .*TrainedModel\.from_run\(run, network=\.\.\.\)"
        for use in (lambda: explain(run, dataset=small_shapes), lambda: load_model(run)):
            with pytest.raises(ModelError, match=message) as caught:
                use()
            assert "\n" not in str(caught.value)
    else:
        assert load_model(run)[0].get_parameter("head.weight").shape[0] == len(small_shapes.classes)


def test_the_function_of_a_built_in_network_has_its_name_and_its_weights(
    small_shapes: Dataset, small_config: TrainConfig, finished_run: Run, tmp_path: Path
) -> None:
    from visionlib.models.cifar_resnet import resnet20

    run = train(small_shapes, small_config.replace(model="resnet18"), model=resnet20, out=tmp_path / "run")
    assert read_json(run.config)["config"] == read_json(finished_run.config)["config"]
    assert run.weights.read_bytes() == finished_run.weights.read_bytes()
    assert not run.network_source.exists()


def test_a_run_keeps_the_source_of_its_network_and_executes_nothing_from_there(
    small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from tests.training.test_own_network import Plain as Base\nclass Net(Base):\n    pass\n"
    (tmp_path / "mynet.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    run = train(small_shapes, CONFIG, model="mynet.py:Net", out=tmp_path / "run")
    assert run.network_source.read_text() == source
    assert load_model(run)[1].model == "mynet.py:Net"
    sequential = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, len(small_shapes.classes)))
    other = train(small_shapes, CONFIG, model=sequential, out=tmp_path / "other")
    assert other.network_source.read_text() == f"{sequential}\n"
    (run.path / "mynet.py").write_text("raise AssertionError('executed from the run')")
    monkeypatch.chdir(run.path)
    with pytest.raises(ModelError, match=r"mynet\.py:Net: this code lies in the run folder, from where none"):
        load_model(run)


def test_a_file_that_is_absent_is_named(small_shapes: Dataset, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"there is no file mynet\.py; run from the folder that holds it"):
        train(small_shapes, CONFIG, model="mynet.py:Net", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_without_effect_are_said(small_shapes: Dataset, tmp_path: Path) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, len(small_shapes.classes)))
    lines: list[str] = []
    config = CONFIG.replace(whiten=True, optimizer="muon", norm_bias_factor=8.0, sam_radius=0.05)
    train(small_shapes, config, model=linear, out=tmp_path / "run", log=lines.append)
    said = [line for line in lines if "has no effect" in line]
    assert [line.split(" has no effect")[0] for line in said] == ["whiten", "optimizer muon", "norm_bias_factor"]
    lines.clear()
    train(small_shapes, config, model=Plain, out=tmp_path / "plain", log=lines.append)
    assert not [line for line in lines if "has no effect" in line]


def test_a_mask_that_was_infinite_is_loaded_and_a_diverged_weight_is_not(tmp_path: Path) -> None:
    from visionlib.models.state_file import save_state

    network = ExpandedBuffers()
    save_state(network, tmp_path / "good")
    load_weights(_make_expanded(), tmp_path / "good")
    with torch.no_grad():
        network.head.weight[0, 0] = torch.inf
    save_state(network, tmp_path / "bad")
    with pytest.raises(ModelError, match=r"head\.weight holds NaN or infinity"):
        load_weights(_make_expanded(), tmp_path / "bad")
    with torch.no_grad():
        network.head.weight[0, 0] = 0
        network.get_buffer("body.1.running_var")[0] = torch.inf
    save_state(network, tmp_path / "bad")
    with pytest.raises(ModelError, match=r"running_var holds NaN or infinity"):
        load_weights(_make_expanded(), tmp_path / "bad")


def _make_expanded() -> nn.Module:
    from visionlib.models.layout import prepare_layout

    return prepare_layout(ExpandedBuffers())


def test_plain_networks_have_the_file_that_safetensors_writes(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from visionlib.models.state_file import save_state

    network = build_model("resnet20", seed=1)
    save_state(network, tmp_path / "own")
    save_file(dict(network.state_dict()), tmp_path / "theirs")
    assert (tmp_path / "own").read_bytes() == (tmp_path / "theirs").read_bytes()


def _copy(network: Plain) -> nn.Module:
    twin = Plain(network.head.out_features)
    twin.load_state_dict(network.state_dict())
    return twin


def _die() -> None:
    raise SystemExit("killed")
