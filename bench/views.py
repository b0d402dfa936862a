"""Measure the gain of test-time augmentation for runs: the image alone, with its mirror image, and six views.

.venv/bin/python bench/views.py RUN...

The six views are the image, the image shifted up and left by a pixel, and down and right, each with its mirror image;
of a shifted pair the weight is a quarter, of the others a half. Source: Jordan 2024, arXiv:2404.00498, section 3.6.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from visionlib import open_run
from visionlib.data.augmentation import mirror_images
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel


def shift(images: Tensor, by: int) -> Tensor:
    """Shift images down and right by a number of pixels, mirrored at the border."""
    padded = F.pad(images.float(), (1, 1, 1, 1), mode="reflect").to(torch.uint8)
    height, width = images.shape[2:]
    return padded[:, :, 1 - by : 1 - by + height, 1 - by : 1 - by + width]


def measure(path: str) -> dict[str, tuple[float, float]]:
    """Return accuracy and seconds of each kind of averaging."""
    run = open_run(path)
    compute, split = choose_compute(), load_run_data(run).test
    model = TrainedModel.from_run(run, device=compute.device, precision=compute.precision)
    results, logits, started = {}, torch.zeros(len(split), len(model.classes)), time.perf_counter()
    with compute_environment(compute):
        for name, weight, by in (("image", 1.0, 0), ("mirror", 1.0, 0), ("six views", 0.5, 1), ("six views", 0.5, -1)):
            views = [mirror_images(split.images)] if name == "mirror" else [shift(split.images, by)]
            views += [mirror_images(views[0])] if name == "six views" else []
            for view in views:
                logits += weight * model.predict(view).logits
            is_right = logits.argmax(1) == split.labels
            results[name] = (is_right.float().mean().item(), time.perf_counter() - started)
    return results


def main() -> None:
    """Measure the runs that the command line names, and print the means."""
    rows = [measure(path) for path in sys.argv[1:]]
    sys.stdout.write(f"{choose_compute()}; torch {torch.__version__}; {len(rows)} runs\n")
    sys.stdout.write(f"{'':<12}{'accuracy, %':>14}{'seconds':>10}\n")
    for name in rows[0]:
        accuracy, seconds = (statistics.mean(row[name][at] for row in rows) for at in (0, 1))
        sys.stdout.write(f"{name:<12}{100 * accuracy:>14.2f}{seconds:>10.1f}\n")


if __name__ == "__main__":
    main()
