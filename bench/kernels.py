"""Measure this library's kernels for processors beside torch's: normalisations, gradients of filters, whole steps.

.venv/bin/python bench/kernels.py [ROUNDS]

Each takes turns with what it stands for, on tensors that are not in the cache. For processors with AVX512-BF16; the
gradients of filters need AMX.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.models import build_model
from visionlib.training import choose_compute, recipe_config
from visionlib.training.batches import epoch_batches, shown_batches
from visionlib.training.config import Kernels
from visionlib.training.device import has_cpu_feature, prepared_process
from visionlib.training.fast_convolutions import fast_convolutions
from visionlib.training.fit import Fit
from visionlib.training.kernels.batch_norm import FusedNorm
from visionlib.training.kernels.filter_gradient import filter_gradient
from visionlib.training.optimizer import make_optimizer
from visionlib.training.patch_products import patch_filter_gradient
from visionlib.training.step import TrainingStep

from training import noise_split  # isort: skip  beside this file

IMAGES = 256
STAGES = [(64, 32), (128, 16), (256, 8), (512, 4)]
"""Channels and side of the maps of a ResNet-18's stages at 32 px."""
COLD = 8
"""Tensors of each kind, taken in turn, so that none of them is still in the cache."""


def bf16(*shape: int) -> Tensor:
    """Draw a tensor as a network in training has it."""
    return torch.randn(shape).bfloat16().to(memory_format=torch.channels_last)


def time_in_turn(ways: dict[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each way; a way is given a number that counts up to `COLD`."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds * COLD + COLD):
        for name, way in ways.items():
            started = time.perf_counter()
            way(turn % COLD)
            if turn >= COLD:
                found[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def measure_norms(channels: int, side_px: int, rounds: int) -> dict[str, float]:
    """A normalisation, a sum with a shortcut and a rectifier, there and back."""
    shape = (IMAGES, channels, side_px, side_px)
    inputs, shortcuts, gradients = ([bf16(*shape) for _ in range(COLD)] for _ in range(3))
    leaves = [tensor.requires_grad_() for tensor in inputs]
    norm, fused = nn.BatchNorm2d(channels), FusedNorm(nn.BatchNorm2d(channels), rectifies=True)
    kept: dict[str, Tensor] = {}

    def ahead(name: str, at: int) -> None:
        kept[name] = (
            fused(leaves[at], shortcuts[at]) if name == "kernel" else torch.relu(norm(leaves[at]) + shortcuts[at])
        )

    def back(name: str, at: int) -> None:
        torch.autograd.grad(kept[name], leaves[at], gradients[at])

    ways: dict[str, Callable[[int], object]] = {}
    for name in ("torch", "kernel"):
        ways[f"{name}, ahead"] = functools.partial(ahead, name)
        ways[f"{name}, back"] = functools.partial(back, name)
    return time_in_turn(ways, rounds)


def measure_filter_gradients(channels: int, side_px: int, rounds: int) -> dict[str, float]:
    """The gradient of the filters of a 3 x 3 convolution."""
    shape = (IMAGES, channels, side_px, side_px)
    inputs, gradients = ([bf16(*shape) for _ in range(COLD)] for _ in range(2))
    filters = bf16(channels, channels, 3, 3)

    def by_torch(at: int) -> None:
        torch.ops.aten.convolution_backward(
            *(gradients[at], inputs[at], filters, None),
            *([1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]),
        )

    return time_in_turn(
        {
            "torch": by_torch,
            "patches": lambda at: patch_filter_gradient(inputs[at], gradients[at], 3, 1),
            "kernel": lambda at: filter_gradient(inputs[at], gradients[at]),
        },
        rounds,
    )


def measure_steps(side_px: int, rounds: int) -> dict[str, float]:
    """A training step of `standard`, data included, in images per second."""
    split, config = noise_split(), recipe_config("standard")
    batches = epoch_batches(split, config.batch_size, seed=0, epoch=0)

    def stepper(kernels: Kernels) -> Callable[[int], object]:
        compute = choose_compute("cpu", kernels=kernels)
        fit = Fit(split, config, compute, split.mean, split.std)
        model = build_model("resnet18").to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        take_step = TrainingStep(model, make_optimizer(model, config, fit.number_format), fit)

        def step(turn: int) -> None:
            ((images, labels),) = shown_batches(split, batches[turn : turn + 1], config, 0)
            with fast_convolutions(model, compute):
                take_step(images, labels, side_px=side_px, learning_rate=0.01)

        return step

    times = time_in_turn({"torch's kernels": stepper("off"), "our own": stepper("on")}, rounds)
    return {name: 1e3 * config.batch_size / ms for name, ms in times.items()}


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    columns = list(next(iter(rows.values())))
    sys.stdout.write(f"\n{title:<28}" + "".join(f"{column:>16}" for column in columns) + "\n")
    for name, row in rows.items():
        sys.stdout.write(f"{name:<28}" + "".join(f"{row[column]:>16.1f}" for column in columns) + "\n")


def main() -> None:
    """Measure all three, and print a table of each."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    try:
        compute = choose_compute("cpu", kernels="on")
    except ConfigError as error:
        sys.stdout.write(f"not measured: {error}\n")
        return
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {IMAGES} images; medians\n")
    names = {stage: f"{stage[0]} channels, {stage[1]} x {stage[1]}" for stage in STAGES}
    with prepared_process(compute):
        show("normalisation, ms", {names[stage]: measure_norms(*stage, rounds) for stage in STAGES})
        if has_cpu_feature("amx_bf16"):
            show(
                "gradient of filters, ms", {names[stage]: measure_filter_gradients(*stage, rounds) for stage in STAGES}
            )
        show("a step, images per second", {f"{side} px": measure_steps(side, 1) for side in (32, 24, 16)})


if __name__ == "__main__":
    main()
