"""Measure test-time averaging for runs: the image alone, with its mirror image, six views, and six of unsure images.

.venv/bin/python bench/views.py RUN...

The views, and the threshold from the held-out images: `visionlib.evaluation.selective`.
"""

import statistics
import sys

import torch

from visionlib import open_run
from visionlib.evaluation import evaluate
from visionlib.evaluation.selective import VIEWS, average_views
from visionlib.inference.device import choose_compute
from visionlib.inference.predictions import load_predictions
from visionlib.inference.trained_model import TrainedModel


def measure(path: str) -> dict[str, tuple[float, float]]:
    """Return accuracy and forward passes per image of each kind of averaging, of the run's stored predictions."""
    run = open_run(path)
    evaluation, stored = evaluate(run, selective=True), load_predictions(run)
    assert evaluation.selective is not None
    logits, images = stored.predictions.logits, stored.load_images().images
    averaged = average_views(TrainedModel.from_run(run), images, logits)
    selective = evaluation.selective
    sys.stdout.write(f"{path}: threshold {selective.threshold}, {selective.selected:,} of {selective.n:,} images\n")
    return {
        "image": (evaluation.accuracy or 0, 1),
        "mirror": (evaluation.mirror_accuracy or 0, 2),
        "six views": ((averaged.argmax(1) == stored.labels).double().mean().item(), VIEWS),
        "selective": (selective.accuracy or 0, selective.passes_per_image or 0),
    }


def main() -> None:
    """Measure the runs that the command line names, and print the means."""
    rows = [measure(path) for path in sys.argv[1:]]
    sys.stdout.write(f"{choose_compute()}; torch {torch.__version__}; {len(rows)} runs\n")
    sys.stdout.write(f"{'':<12}{'accuracy, %':>14}{'passes':>10}\n")
    for name in rows[0]:
        accuracy, passes = (statistics.mean(row[name][at] for row in rows) for at in (0, 1))
        sys.stdout.write(f"{name:<12}{100 * accuracy:>14.2f}{passes:>10.2f}\n")


if __name__ == "__main__":
    main()
