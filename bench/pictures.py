"""Measure `visionlib predict` on files beside `visionlib test` on the same images: images per second, and memory.

.venv/bin/python bench/pictures.py [N] [ROUNDS]

A ResNet-18 at 32 px predicts N PNG files of 32 px, in turn with the same images in memory: once each, and as
`visionlib test` does, with their mirror images. Wall-clock time, so nothing else may run. The peak of memory
is that after N files, and after 4 and 16 times as many.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from visionlib import load_dataset
from visionlib.data import ImageSplit
from visionlib.inference import TrainedModel
from visionlib.inference.device import choose_compute
from visionlib.inference.pictures import classify_files
from visionlib.inference.predictions import predict_split
from visionlib.models import build_model
from visionlib.models.layout import prepare_layout


def make_model() -> TrainedModel:
    """Build a ResNet-18 with random weights, with the settings that `visionlib predict` takes by default."""
    torch.manual_seed(0)
    precision = choose_compute("cpu", "auto").precision
    classes = tuple(f"class {number}" for number in range(10))
    network = prepare_layout(build_model("resnet18"))
    return TrainedModel(network, (0.5,) * 3, (0.25,) * 3, 32, classes, precision, "bench", (32, 32))


def write_files(split: ImageSplit, folder: Path) -> list[Path]:
    """Write each image as a PNG file."""
    paths = [folder / f"{number:06d}.png" for number in range(len(split))]
    for image, path in zip(split.images, paths, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return paths


def time_ways(ways: dict[str, Callable[[], object]], n: int, rounds: int) -> dict[str, float]:
    """Return the median of images per second of each way, taken in turn after a warm-up."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, act in ways.items():
            started = time.perf_counter()
            act()
            if turn:
                speeds[name].append(n / (time.perf_counter() - started))
    return {name: statistics.median(measured) for name, measured in speeds.items()}


def measure_peak(model: TrainedModel, files: list[Path]) -> float:
    """Predict files, and return the peak of this process's resident memory until now, in MiB."""
    for _ in classify_files(model, files):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, and print a table."""
    n, rounds = (int(text) for text in [*sys.argv[1:3], *["1500", "5"][len(sys.argv) - 1 :]])
    split = load_dataset("shapes").train.subset(torch.arange(n))
    model, compute = make_model(), choose_compute("cpu", "auto")
    with tempfile.TemporaryDirectory() as name:
        files = write_files(split, Path(name))
        peaks = {times * n: measure_peak(model, files * times) for times in (1, 4, 16)}
        speeds = time_ways(
            {
                "files": lambda: list(classify_files(model, files)),
                "as visionlib test, with mirror images": lambda: predict_split(model, split),
                "images in memory, once each": lambda: model.predict(split.images),
            },
            n,
            rounds,
        )
    sys.stdout.write(f"{compute}; torch {torch.__version__}; n = {n}, median of {rounds}, images per second\n")
    for name, speed in speeds.items():
        sys.stdout.write(f"{name:<40}{speed:>8.0f}  files {speeds['files'] / speed:.2f} times\n")
    for count, peak in peaks.items():
        sys.stdout.write(f"{f'peak of memory, {count} files':<40}{peak:>8.0f} MiB\n")


if __name__ == "__main__":
    main()
