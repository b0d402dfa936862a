"""A step equals its formula, and a step replayed as a CUDA graph leaves the same bits as one that is not."""

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.training.interrupting import interrupt_after, same_weights, without_times
from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.models import MODELS, build_model
from visionlib.training import TrainConfig, recipe_config, resume, train
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.budget import fit_time_budget
from visionlib.training.config import Mix
from visionlib.training.cuda_graphs import StepKind
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def test_a_step_is_gradient_descent_on_the_smoothed_loss(small_shapes: Dataset) -> None:
    split, config = small_shapes.train, TrainConfig(momentum=0.0, weight_decay=0.0, label_smoothing=0.1)
    model = small_net()
    before = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
    take_step = TrainingStep(model, make_optimizer(model, config), job)
    loss, hits = take_step(split.images[:50], split.labels[:50], side_px=12, learning_rate=0.3)

    inputs = prepare_inputs(split.images[:50], split.mean, split.std, 12)
    features = F.relu(F.conv2d(inputs, before[0], before[1])).mean((2, 3))
    logits = features @ before[2].T + before[3]
    target = torch.full((50, 10), 0.01).scatter(1, split.labels[:50, None], 0.91)
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, expected.detach())
    assert hits == (logits.argmax(1) == split.labels[:50]).sum()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert old.grad is not None
        torch.testing.assert_close(parameter.detach(), (old - 0.3 * old.grad).detach())


def test_a_step_on_mixed_images_minimizes_the_mixture_of_two_losses(small_shapes: Dataset) -> None:
    """Hits are counted for the label with the larger weight."""
    split, config = small_shapes.train, TrainConfig(momentum=0.0, weight_decay=0.0, label_smoothing=0.1, mix="both")
    own, other, weights = split.labels[:50], split.labels[50:100], torch.linspace(0, 1, 50)
    targets = weights[:, None] * F.one_hot(own, 10) + (1 - weights[:, None]) * F.one_hot(other, 10)
    model = small_net()
    twin = copy.deepcopy(model)
    job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
    take_step = TrainingStep(model, make_optimizer(model, config), job)
    loss, hits = take_step(split.images[:50], targets, side_px=12, learning_rate=0.3)

    logits = twin(prepare_inputs(split.images[:50], split.mean, split.std, 12))
    losses = [F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1) for labels in (own, other)]
    expected = (weights * losses[0] + (1 - weights) * losses[1]).mean()
    gradients = torch.autograd.grad(expected, list(twin.parameters()))
    torch.testing.assert_close(loss, expected.detach())
    assert hits == (logits.argmax(1) == torch.where(weights > 0.5, own, other)).sum()
    for parameter, old, gradient in zip(model.parameters(), twin.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), (old - 0.3 * gradient).detach())


def test_whole_labels_as_weights_give_the_loss_of_labels(small_shapes: Dataset) -> None:
    split, config = small_shapes.train, TrainConfig()
    results = []
    for targets in (split.labels[:50], F.one_hot(split.labels[:50], 10).float()):
        torch.manual_seed(0)
        model = small_net()
        job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
        take_step = TrainingStep(model, make_optimizer(model, config), job)
        results.append(take_step(split.images[:50], targets, side_px=12, learning_rate=0.3))
    torch.testing.assert_close(*results)


def test_a_sam_step_takes_the_gradient_at_perturbed_weights(small_shapes: Dataset) -> None:
    """The perturbation comes from the first 13 of 50 images: a quarter, rounded up."""
    split = small_shapes.train
    config = TrainConfig(momentum=0.0, weight_decay=0.0, label_smoothing=0.0, sam_radius=0.1, sam_fraction=0.25)
    model = small_net()
    weights = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
    take_step = TrainingStep(model, make_optimizer(model, config), job)
    loss, _ = take_step(split.images[:50], split.labels[:50], side_px=12, learning_rate=0.3, is_sam=True)

    def loss_of(at: list[torch.Tensor], n: int) -> torch.Tensor:
        inputs = prepare_inputs(split.images[:n], split.mean, split.std, 12)
        features = F.relu(F.conv2d(inputs, at[0], at[1])).mean((2, 3))
        return F.cross_entropy(features @ at[2].T + at[3], split.labels[:n])

    gradients = torch.autograd.grad(loss_of(weights, 13), weights)
    norm = sum((weights[at].norm() * gradients[at].norm()) ** 2 for at in (0, 2)) ** 0.5
    perturbed = [
        (weight + 0.1 * weight.norm() ** 2 * gradient / norm if weight.ndim > 1 else weight).detach().requires_grad_()
        for weight, gradient in zip(weights, gradients, strict=True)
    ]
    expected = loss_of(perturbed, 50)
    torch.testing.assert_close(loss, expected.detach())
    assert loss > loss_of(weights, 50) + 0.001
    there = torch.autograd.grad(expected, perturbed)
    for parameter, old, gradient in zip(model.parameters(), weights, there, strict=True):
        torch.testing.assert_close(parameter.detach(), (old - 0.3 * gradient).detach())


@pytest.mark.parametrize("mix", ["none", "both"])
@pytest.mark.parametrize("is_sam", [False, True])
@pytest.mark.parametrize("changes", [{"parts": 3}, {"parts": 3, "sam_fraction": 0.5}, {"sam_fraction": 0.01}])
def test_a_step_with_accumulated_gradients_equals_one_without(
    changes: dict[str, Any], is_sam: bool, mix: Mix, small_shapes: Dataset
) -> None:
    split = small_shapes.train
    ((images, targets),) = augmented_batches(split, [torch.tensor([[at, 0] for at in range(50)])], TrainConfig(mix=mix))
    results = []
    for parts in (changes.get("parts", 1), 1):
        torch.manual_seed(0)
        model, config = small_net(), TrainConfig(sam_radius=0.1, **{**changes, "parts": parts})
        job = TrainingJob(split, config, choose_compute("cpu", "fp32"), split.mean, split.std)
        take_step = TrainingStep(model, make_optimizer(model, config), job)
        take_step(images, targets, side_px=12, learning_rate=0.3, is_sam=is_sam)
        results.append([parameter.detach() for parameter in model.parameters()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_nothing_is_recorded_on_a_cpu(small_shapes: Dataset, small_config: TrainConfig) -> None:
    split = small_shapes.train
    model = build_model("resnet20")
    job = TrainingJob(split, small_config, choose_compute("cpu", "fp32"), split.mean, split.std)
    optimizer = make_optimizer(model, small_config)
    take_step = TrainingStep(model, optimizer, job)
    assert take_step.record([StepKind(50, 16, False)]) is None
    assert not optimizer.state
    assert isinstance(optimizer.param_groups[0]["lr"], float)


def test_compile_is_refused_without_a_gpu(small_shapes: Dataset, small_config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compile: it is made for GPUs, and this trains on cpu; leave it out"):
        train(small_shapes, small_config.replace(compile=True), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


GPU_CONFIG = TrainConfig(model="resnet20", epochs=3, batch_size=48, resolutions=(0.75, 1.0), device="cuda")
CONFIGS = {
    "sgd": GPU_CONFIG,
    "muon": GPU_CONFIG.replace(optimizer="muon"),
    "parts": GPU_CONFIG.replace(optimizer="muon", parts=2, norm_bias_factor=4.0),
    "ema": GPU_CONFIG.replace(averaging="ema", whiten=True),
    "ema and cutout": GPU_CONFIG.replace(averaging="ema", averaging_decay=0.9, cutout_px=4, flip="random"),
    "sam": GPU_CONFIG.replace(optimizer="muon", parts=2, sam_radius=0.02, sam_start=0.6),
    "mix": GPU_CONFIG.replace(mix="both", mix_end=0.6, policy="trivial", erase_fraction=0.5, parts=2),
    "mix and sam": GPU_CONFIG.replace(mix="cutmix", optimizer="muon", sam_radius=0.02, sam_start=0.6, averaging="ema"),
    "fp32": GPU_CONFIG.replace(precision="fp32"),
    "compiled": GPU_CONFIG.replace(compile=True),
    "deep": GPU_CONFIG.replace(model="resnet18", epochs=2, optimizer="muon"),
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", CONFIGS)
def test_recorded_steps_leave_the_bits_of_unrecorded_ones(name: str, small_shapes: Dataset, tmp_path: Path) -> None:
    config = CONFIGS[name]
    messages: list[str] = []
    recorded = train(small_shapes, config, out=tmp_path / "recorded", log=messages.append)
    assert not [line for line in messages if "cannot be recorded" in line]
    plain = train(small_shapes, config.replace(cuda_graphs="off"), out=tmp_path / "plain")
    assert same_weights(recorded, plain)
    assert without_times(recorded) == without_times(plain)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("steps", [1, 7])
def test_interrupted_and_resumed_on_a_gpu_is_uninterrupted(
    name: str, steps: int, small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = train(small_shapes, CONFIGS[name], out=tmp_path / "whole")
    with monkeypatch.context() as patched:
        interrupt_after(steps, patched, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            train(small_shapes, CONFIGS[name], out=tmp_path / "run")
    run = resume(tmp_path / "run", dataset=small_shapes)
    assert same_weights(run, uninterrupted)
    assert without_times(run) == without_times(uninterrupted)


@pytest.mark.gpu
def test_recording_changes_neither_weights_nor_random_states(small_shapes: Dataset) -> None:
    split, config = small_shapes.train.to("cuda"), GPU_CONFIG.replace(optimizer="muon", sam_radius=0.02)
    model = build_model("resnet20").to("cuda", memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.cuda.get_rng_state()
    job = TrainingJob(split, config, choose_compute("cuda"), split.mean, split.std)
    optimizer = make_optimizer(model, config, job.compute.dtype)
    take_step = TrainingStep(model, optimizer, job)
    assert take_step.record([StepKind(50, 16, False), StepKind(50, 12, True)]) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert all(not entry["momentum_buffer"].any() for entry in optimizer.state.values())


@pytest.mark.gpu
@pytest.mark.parametrize("changes", [{}, {"erase_fraction": 0.5, "mix": "both"}])
def test_augmentation_on_a_gpu_equals_that_on_a_cpu(changes: dict[str, Any], small_shapes: Dataset) -> None:
    config = recipe_config("course2020", crop_px=2, cutout_px=4, **changes)
    split = small_shapes.train
    batches = epoch_batches(split, 48, seed=1, epoch=2)
    on_gpu = epoch_batches(split.to("cuda"), 48, seed=1, epoch=2)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in on_gpu]
    augmented = augmented_batches(split, batches, config)
    for (images, labels), (theirs, their_labels) in zip(
        augmented, augmented_batches(split.to("cuda"), on_gpu, config), strict=True
    ):
        # Sines and products round differently there; a value between two pixel values may be rounded either way.
        assert (images.int() - theirs.cpu().int()).abs().max() <= 1
        assert torch.equal(labels, their_labels.cpu())


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["resnet9", "resnet50", "resnet20", "cnn8"])
def test_built_in_networks_can_be_recorded(model: str, small_shapes: Dataset, tmp_path: Path) -> None:
    assert model in MODELS
    messages: list[str] = []
    train(small_shapes, GPU_CONFIG.replace(model=model, epochs=1), out=tmp_path / "run", log=messages.append)
    assert not [line for line in messages if "cannot be recorded" in line]


@pytest.mark.gpu
def test_a_network_that_reads_values_is_not_recorded(
    small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reading.py").write_text(
        "from torch import nn\n"
        "class Reading(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10))\n"
        "    def forward(self, x):\n"
        "        return self.net(x) if x.mean().item() < 9 else self.net(-x)\n"
        "def build():\n"
        "    return Reading()\n"
    )
    monkeypatch.chdir(tmp_path)
    messages: list[str] = []
    config = GPU_CONFIG.replace(model="reading:build", epochs=1)
    automatic = train(small_shapes, config, out=tmp_path / "automatic", log=messages.append)
    assert not [line for line in messages if "cannot be recorded" in line]
    recorded = train(small_shapes, config.replace(cuda_graphs="on"), out=tmp_path / "recorded", log=messages.append)
    assert [line for line in messages if "cannot be recorded" in line]
    assert same_weights(automatic, recorded)


@pytest.mark.gpu
def test_a_budget_is_measured_on_a_gpu(small_shapes: Dataset) -> None:
    split = small_shapes.train.to("cuda")
    job = TrainingJob(split, GPU_CONFIG, choose_compute("cuda"), split.mean, split.std)
    assert fit_time_budget(job, 20.0).pace.total_steps >= 1
