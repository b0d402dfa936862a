"""Measure the data package: seconds to draw, load and augment, the median of five.

.venv/bin/python bench/data.py [DATASET...]
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from visionlib.data import load_dataset, load_shapes
from visionlib.data.augmentation import (
    crop_images,
    cut_out_images,
    flip_images_alternating,
    jitter_colours,
    transform_images,
)
from visionlib.inference.device import choose_compute


def measure(name: str, work: Callable[[], object], repeats: int = 5) -> None:
    """Print the median, lowest and highest seconds that the work takes, after one run that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    columns = f"{statistics.median(seconds):8.3f} {min(seconds):8.3f} {max(seconds):8.3f}"
    sys.stdout.write(f"{name:<44} {columns}\n")


def main() -> None:
    """Measure on 50,000 images of noise, then load what the command line names."""
    sys.stdout.write(f"{choose_compute()}; torch {torch.__version__}\n{'seconds':<44}   median      low     high\n")
    images = torch.randint(0, 256, (50_000, 3, 32, 32), dtype=torch.uint8)
    index = torch.arange(50_000)
    draw: dict[str, Any] = {"seed": 0, "epoch": 1}
    measure("crop", lambda: crop_images(images, index, max_shift_px=4, **draw))
    measure("alternating flip", lambda: flip_images_alternating(images, index, **draw))
    measure(
        "crop, then flip",
        lambda: flip_images_alternating(crop_images(images, index, max_shift_px=4, **draw), index, **draw),
    )
    measure("cutout", lambda: cut_out_images(images, index, size_px=8, **draw))
    measure("rotate, translate, scale", lambda: transform_images(images, index, **draw))
    measure("brightness, contrast, saturation, hue", lambda: jitter_colours(images, index, **draw))
    measure("draw shapes, 12,000 images", load_shapes)
    for name in sys.argv[1:]:
        measure(f"load {name}", lambda name=name: load_dataset(name), repeats=3)  # type: ignore[misc]


if __name__ == "__main__":
    main()
