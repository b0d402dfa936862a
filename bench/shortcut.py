"""Plant a shortcut in `shapes`, train a network that takes it, and measure which methods point at it.

.venv/bin/python bench/shortcut.py [SEED]

A magenta square in the upper left corner marks a fifth of the training images of one class, and no other image. The
network learns that the square means this class. The square is then planted in test images of the other classes; those
that the network now takes for the class are explained. A method that can be trusted points at the square.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from visionlib import explain
from visionlib.data import Dataset, ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.data.shapes import load_shapes
from visionlib.explanation import METHODS
from visionlib.explanation.quality.estimate import Estimate, average, fraction
from visionlib.explanation.quality.localization import fraction_on_objects, point_at_objects
from visionlib.inference.trained_model import TrainedModel
from visionlib.training import TrainConfig, train

MARKED_CLASS, MARKED_FRACTION, SIDE_PX = "star", 0.2, 5
COLOUR = torch.tensor([255, 0, 255], dtype=torch.uint8)
MOST_EXPLAINED = 200
CONFIG = TrainConfig(model="resnet20", epochs=5, peak_learning_rate=0.4, crop_px=0, flip="none")
"""Images are neither shifted nor mirrored, so that the square stays in its corner."""


def plant(images: Tensor) -> Tensor:
    """Paint the square into copies of images."""
    marked = images.clone()
    marked[:, :, :SIDE_PX, :SIDE_PX] = COLOUR[:, None, None]
    return marked


def plant_in_training(data: Dataset, seed: int) -> Dataset:
    """Plant the square in a fifth of the training images of one class, drawn by seed."""
    split = data.train
    members = (split.labels == data.classes.index(MARKED_CLASS)).nonzero()[:, 0]
    order = random_order(seed, 0, split.index[members], Stream.EXPLAINED_IMAGES)
    chosen = members[order[: round(MARKED_FRACTION * len(members))]]
    images = split.images.clone()
    images[chosen] = plant(images[chosen])
    return Dataset(
        "shapes with a shortcut", {"train": dataclasses.replace(split, images=images), "test": data.test}, data.classes
    )


def describe(hits: Tensor) -> str:
    """Write a fraction with Wilson's interval and its count."""
    estimate = fraction(hits)
    assert estimate is not None
    return f"{write(estimate)}, n = {estimate.n:,}"


def write(estimate: Estimate | None) -> str:
    """Write an estimate with its interval."""
    if estimate is None:
        return "n/a"
    low, high = estimate.interval or (estimate.value, estimate.value)
    return f"{estimate.value:.2f} ({low:.2f} to {high:.2f})"


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train, check that the network takes the shortcut, and print the table of methods."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    data = plant_in_training(load_shapes(seed=seed), seed)
    number = data.classes.index(MARKED_CLASS)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train(data, CONFIG.replace(seed=seed), out=Path(folder) / "run")
        model = TrainedModel.from_run(run, precision="fp32")
    show(f"{model.device}, torch {torch.__version__}, seed {seed}; trained in {time.perf_counter() - started:.0f} s")

    others = data.test.subset((data.test.labels != number).nonzero()[:, 0])
    marked = dataclasses.replace(others, images=plant(others.images))
    without, with_square = (model.predict(split.images).logits.argmax(1) for split in (others, marked))
    show(f"images of the other classes, without the square: right {describe(without == others.labels)}")
    show(f"the same images with the square: right {describe(with_square == others.labels)}")
    show(f"  taken for {MARKED_CLASS}: {describe(with_square == number)}")
    show(f"  and without the square: {describe(without == number)}")

    taken = ((with_square == number) & (without != number)).nonzero()[:, 0]
    taken = taken[random_order(seed, 0, marked.index[taken], Stream.QUALITY_IMAGES)[:MOST_EXPLAINED].sort().values]
    compare_methods(model, marked.subset(taken))


def compare_methods(model: TrainedModel, split: ImageSplit) -> None:
    """Print how often each method's maximum lies on the square, and the fraction of its evidence there."""
    masks = torch.zeros(len(split), *split.image_size, dtype=torch.bool)
    masks[:, :SIDE_PX, :SIDE_PX] = True
    show(f"{len(split)} images that the square makes a {MARKED_CLASS}; it covers {float(masks.float().mean()):.3f}")
    show("| method | cells | points at the square | evidence on the square |\n|---|---|---|---|")
    rows = []
    for method in METHODS:
        maps = explain(model, split, method=method, target=MARKED_CLASS).maps
        hits, energy = fraction(point_at_objects(maps, masks)), average(fraction_on_objects(maps, masks))
        assert hits is not None
        rows.append(
            (hits.value, f"| `{method}` | {maps.shape[1]} x {maps.shape[2]} | {write(hits)} | {write(energy)} |")
        )
    for _, row in sorted(rows, reverse=True):
        show(row)


if __name__ == "__main__":
    main()
