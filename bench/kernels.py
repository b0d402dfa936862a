"""Measure this library's CPU kernels beside torch's: normalizations, convolutions, whole steps; and Muon.

.venv/bin/python bench/kernels.py [ROUNDS]

Each takes turns with torch's, on tensors that are not in the cache. For CPUs with AVX512-BF16; convolutions are
measured where there is AMX.
"""

import functools
import itertools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute, compute_environment, has_cpu_feature
from visionlib.models import build_model
from visionlib.training import recipe_config
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.config import Kernels
from visionlib.training.cpu import choose_kernels
from visionlib.training.cpu.batch_norm import FusedNorm
from visionlib.training.cpu.filter_gradient import filter_gradient, suits_kernel
from visionlib.training.cpu.im2col import im2col_convolution, im2col_filter_gradient, im2col_input_gradient
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer, set_rates
from visionlib.training.step import TrainingStep

from training import noise_split  # isort: skip  beside this file

IMAGES = 256
STAGES = [(64, 32), (128, 16), (256, 8), (512, 4)]
"""Channels and side of the maps of a ResNet-18's stages at 32 px."""
CONVOLUTIONS = [
    *[(64, 64, 32, 3, 1), (64, 64, 24, 3, 1), (64, 128, 32, 3, 2), (64, 128, 32, 1, 2)],
    *[(128, 128, 16, 3, 1), (128, 128, 12, 3, 1), (128, 128, 8, 3, 1), (128, 256, 16, 3, 2), (128, 256, 16, 1, 2)],
    *[(256, 256, 8, 3, 1), (256, 256, 6, 3, 1), (256, 256, 4, 3, 1), (256, 512, 8, 3, 2), (256, 512, 8, 1, 2)],
    *[(512, 512, 4, 3, 1), (512, 512, 3, 3, 1)],
]
"""Channels of the inputs and outputs, side of the map, side of the filters, stride: at 32, 24 and 16 px."""
COLD = 8
"""Tensors of each kind, taken in turn, so that none of them is still in the cache."""


def bf16(*shape: int) -> Tensor:
    """Draw a tensor in the dtype and memory format of a training."""
    return torch.randn(shape).bfloat16().to(memory_format=torch.channels_last)


def time_in_turn(functions: dict[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each function; its argument is the number of the tensor to use, below `COLD`."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds * COLD + COLD):
        for name, function in functions.items():
            started = time.perf_counter()
            function(turn % COLD)
            if turn >= COLD:
                times[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(milliseconds) for name, milliseconds in times.items()}


def measure_norms(channels: int, side_px: int, rounds: int) -> dict[str, float]:
    """A normalization, the addition of a shortcut and a ReLU, forward and backward."""
    shape = (IMAGES, channels, side_px, side_px)
    inputs, shortcuts, gradients = ([bf16(*shape) for _ in range(COLD)] for _ in range(3))
    leaves = [tensor.requires_grad_() for tensor in inputs]
    norm, fused = nn.BatchNorm2d(channels), FusedNorm(nn.BatchNorm2d(channels), has_relu=True)
    outputs: dict[str, Tensor] = {}

    def forward(name: str, at: int) -> None:
        outputs[name] = (
            fused(leaves[at], shortcuts[at]) if name == "kernel" else torch.relu(norm(leaves[at]) + shortcuts[at])
        )

    def backward(name: str, at: int) -> None:
        torch.autograd.grad(outputs[name], leaves[at], gradients[at])

    functions: dict[str, Callable[[int], object]] = {}
    for name in ("torch", "kernel"):
        functions[f"{name}, forward"] = functools.partial(forward, name)
        functions[f"{name}, backward"] = functools.partial(backward, name)
    return time_in_turn(functions, rounds)


def measure_convolution(
    channels: int, width: int, side_px: int, size: int, stride: int, rounds: int
) -> dict[str, float]:
    """The three products of a convolution: its outputs, and the gradients of its inputs and of its filters."""
    inputs = [bf16(IMAGES, channels, side_px, side_px) for _ in range(COLD)]
    gradients = [bf16(IMAGES, width, -(-side_px // stride), -(-side_px // stride)) for _ in range(COLD)]
    filters = bf16(width, channels, size, size)

    def by_torch(outputs: list[bool], at: int) -> None:
        torch.ops.aten.convolution_backward(
            *(gradients[at], inputs[at], filters, None),
            *([stride] * 2, [size // 2] * 2, [1, 1], False, [0, 0], 1, outputs),
        )

    functions: dict[str, Callable[[int], object]] = {
        "outputs": lambda at: torch.conv2d(inputs[at], filters, stride=stride, padding=size // 2),
        "by im2col": lambda at: im2col_convolution(inputs[at], filters, stride),
        "of inputs": functools.partial(by_torch, [True, False, False]),
        "by im2col ": lambda at: im2col_input_gradient(gradients[at], filters, stride, inputs[at].shape[-2:]),
        "of filters": functools.partial(by_torch, [False, True, False]),
        "by im2col  ": lambda at: im2col_filter_gradient(inputs[at], gradients[at], size, stride),
    }
    if stride == 1 and suits_kernel(inputs[0].shape, filters.shape):
        functions["by kernel"] = lambda at: filter_gradient(inputs[at], gradients[at])
    return time_in_turn(functions, rounds)


def measure_steps(side_px: int, rounds: int) -> dict[str, float]:
    """A training step of `standard`, data included, in images per second."""
    split, config = noise_split(), recipe_config("standard")
    batches = epoch_batches(split, config.batch_size, seed=0, epoch=0)

    def stepper(kernels: Kernels) -> Callable[[int], object]:
        compute = choose_kernels(choose_compute("cpu", "bf16"), kernels)
        job = TrainingJob(split, config, compute, split.mean, split.std)
        model = build_model("resnet18").to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        take_step = TrainingStep(model, make_optimizer(model, config, compute.dtype), job)

        def step(turn: int) -> None:
            ((images, labels),) = augmented_batches(split, batches[turn : turn + 1], config)
            take_step(images, labels, side_px=side_px, learning_rate=0.01)

        return step

    times = time_in_turn({"torch's kernels": stepper("off"), "own kernels": stepper("on")}, rounds)
    return {name: 1e3 * config.batch_size / ms for name, ms in times.items()}


def measure_optimizer(rounds: int) -> dict[str, float]:
    """A step of `standard`'s optimizer alone, in milliseconds."""
    config = recipe_config("standard")
    model = build_model("resnet18").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, config, torch.bfloat16)
    set_rates(optimizer, config, 0.01)
    gradients = [[torch.randn_like(weight) for weight in model.parameters()] for _ in range(COLD)]

    def step(turn: int) -> None:
        for weight, gradient in zip(model.parameters(), gradients[turn], strict=True):
            weight.grad = gradient
        optimizer.step()

    return time_in_turn({"Muon": step}, rounds)


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    columns = list(dict.fromkeys(itertools.chain(*rows.values())))
    sys.stdout.write(f"\n{title:<32}" + "".join(f"{column.strip():>16}" for column in columns) + "\n")
    for name, row in rows.items():
        cells = (f"{row[column]:.1f}" if column in row else "" for column in columns)
        sys.stdout.write(f"{name:<32}" + "".join(f"{cell:>16}" for cell in cells) + "\n")


def main() -> None:
    """Measure all of them, and print a table of each."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    try:
        compute = choose_kernels(choose_compute("cpu", "bf16"), "on")
    except ConfigError as error:
        sys.stdout.write(f"not measured: {error}\n")
        return
    sys.stdout.write(f"{compute}; torch {torch.__version__}; {IMAGES} images; medians\n")
    with compute_environment(compute):
        norms = {f"{c} channels, {side} x {side}": measure_norms(c, side, rounds) for c, side in STAGES}
        show("normalization, ms", norms)
        if has_cpu_feature("amx_bf16"):
            convolutions = {
                f"{c} to {k}, {side} x {side}, {size} x {size} / {stride}": measure_convolution(
                    c, k, side, size, stride, rounds
                )
                for c, k, side, size, stride in CONVOLUTIONS
            }
            show("convolution, ms", convolutions)
        show("a step of the optimizer, ms", {"ResNet-18": measure_optimizer(rounds)})
        show("a step, images per second", {f"{side} px": measure_steps(side, 1) for side in (32, 24, 16)})


if __name__ == "__main__":
    main()
