"""Measure maps per second: in batches, against torchcam with one image at a time, as in its documentation.

.venv/bin/python bench/explanation.py [ROUNDS]

The contenders alternate in one process; the result is the median.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from visionlib.explanation import DEFAULT_METHOD, make_map_maker
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.models import build_model

N_ALONE, N_BATCHED, BATCH = 60, 1000, 100
LAYERS = ["layer2", "layer3", "layer4"]


def map_alone(model: nn.Module, inputs: Tensor, classes: Tensor) -> None:
    """Map images one by one with torchcam: fp32, contiguous memory format, the network as built."""
    from torchcam.methods import LayerCAM

    with LayerCAM(model, LAYERS, input_shape=(3, 32, 32)) as extractor:
        for image, label in zip(inputs, classes.tolist(), strict=True):
            maps = extractor(label, model(image[None]))
            extractor.fuse_cams(maps)


def measure(work: Callable[[], object], n: int) -> float:
    """Return images per second."""
    started = time.perf_counter()
    work()
    return n / (time.perf_counter() - started)


def main() -> None:
    """Alternate between the contenders, and print the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    compute = choose_compute()
    plain = build_model("resnet18").eval()
    fast = build_model("resnet18").to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    inputs, classes = torch.randn(N_BATCHED, 3, 32, 32), torch.arange(N_BATCHED) % 10
    channels_last = inputs.contiguous(memory_format=torch.channels_last)
    precisions = ("fp32", "bf16") if compute.precision == "bf16" else ("fp32",)
    makers = {
        precision: make_map_maker(DEFAULT_METHOD, fast, (3, 32, 32), precision=precision)  # type: ignore[arg-type]
        for precision in precisions
    }

    def map_batches(precision: str, n: int = N_BATCHED) -> None:
        for start in range(0, n, BATCH):
            makers[precision](fast, channels_last[start : start + BATCH], classes[start : start + BATCH])

    names = ["torchcam, one at a time", *(f"visionlib, batches of {BATCH}, {precision}" for precision in precisions)]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    with compute_environment(compute):
        map_alone(plain, inputs[:5], classes[:5])
        for precision in precisions:
            map_batches(precision, BATCH)
        for _ in range(rounds):
            speeds[names[0]].append(measure(lambda: map_alone(plain, inputs[:N_ALONE], classes[:N_ALONE]), N_ALONE))
            for name, precision in zip(names[1:], precisions, strict=True):
                speeds[name].append(measure(lambda precision=precision: map_batches(precision), N_BATCHED))  # type: ignore[misc]
    sys.stdout.write(f"{compute}; torch {torch.__version__}; median of {rounds}\n")
    sys.stdout.write(f"{'LayerCAM of three stages, fused':<40}{'maps/s':>8}{'times':>8}{'1,000 maps, s':>16}\n")
    first = statistics.median(speeds[names[0]])
    for name in names:
        speed = statistics.median(speeds[name])
        sys.stdout.write(f"{name:<40}{speed:>8.0f}{speed / first:>8.2f}{1000 / speed:>16.1f}\n")


if __name__ == "__main__":
    main()
